// Types of the API's bodies and answers, from the document that a running server gives.
// usage: node types.mjs http://127.0.0.1:8080 src/api/schema.d.ts

import { writeFile } from "node:fs/promises";
import openapiTypescript, { astToString } from "openapi-typescript";

const [server, target] = process.argv.slice(2);
const document = await (await fetch(`${server}/openapi.json`)).json();
// Paths are left out: they would be nine tenths of the file, and requests are written by hand.
const { openapi, info, components } = document;
const ast = await openapiTypescript({ openapi, info, paths: {}, components: { schemas: components.schemas } });
await writeFile(target, astToString(ast));
