import { defineConfig } from "vite";

// File names carry no hash: the server revalidates them by entity tag, and a change of one line
// stays a change of one file in the repository.
export default defineConfig({
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    rollupOptions: {
      output: {
        entryFileNames: "console.js",
        chunkFileNames: "[name].js",
        assetFileNames: (file) => (file.names[0]?.endsWith(".css") ? "console.css" : "[name][extname]"),
      },
    },
  },
});
