"""Registers the webhook with the MLflow server, or renews it, and sends one trial message.

python -m examples.webhook.register --url https://hooks.example.org/qbias, with MLFLOW_TRACKING_URI, the credentials of an administrator,
and the shared secret in QBIAS_WEBHOOK_SECRET.
"""

import argparse
import os
import sys

from mlflow import MlflowClient
from mlflow.entities.webhook import Webhook, WebhookEvent
from mlflow.exceptions import MlflowException

from examples.webhook.receiver import secret_from

EVENTS = ("model_version_alias.created", "model_version_alias.deleted")
"""MLflow says `created` whenever an alias is set, also where it existed and moves."""


def registered(client: MlflowClient, name: str, url: str, secret: str) -> Webhook:
    """The webhook of this name at this address; one that exists is renewed, so running this twice makes one."""
    events = [WebhookEvent.from_str(event) for event in EVENTS]
    token: str | None = None
    while True:
        page = client.list_webhooks(page_token=token)
        for webhook in page:
            if webhook.name == name:
                return client.update_webhook(webhook.webhook_id, url=url, events=events, secret=secret)
        token = page.token
        if not token:
            return client.create_webhook(name, url, events, description="Announces aliases that were set or deleted", secret=secret)


def main() -> int:
    """Register, try, say what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="where the receiver is reached from the MLflow server")
    parser.add_argument("--name", default="qbias-promotions", help="the webhook's name")
    options = parser.parse_args()
    try:
        client = MlflowClient()
        webhook = registered(client, options.name, options.url, secret_from(os.environ))
        result = client.test_webhook(webhook.webhook_id)
    except (ValueError, MlflowException) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    answer = result.error_message or f"status {result.response_status}"
    print(f"webhook {webhook.name} calls {webhook.url}; a trial message was answered with {answer}", flush=True)
    return 0 if result.success else 1


if __name__ == "__main__":
    sys.exit(main())
