"""Verifies messages with the official `standardwebhooks` package: JSON lines of secret, headers, body."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    message = json.loads(line)
    try:
        Webhook(message["secret"]).verify(message["body"], message["headers"])
        print("valid", flush=True)
    except WebhookVerificationError as error:
        print(f"invalid: {error}", flush=True)
