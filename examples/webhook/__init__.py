"""A webhook that announces promotions: MLflow's server calls receiver.py whenever an alias is set or deleted; register.py sets it up.

The message says which alias now points where, and neither who moved it nor why: the records say that, and the verb `audit` checks them. An
alias that was moved by other hands is announced as well.

1. The server needs a key that encrypts the webhooks' secrets. Without one, each of its processes makes its own, and none can read what
   another stored:

       export MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY="$(openssl rand -base64 32 | tr '+/' '-_')"

   Keep the key: a server that is started again needs the same one.
2. Receiver and register.py share a secret: `export QBIAS_WEBHOOK_SECRET="$(openssl rand -hex 32)"`.
3. Start the receiver behind whatever ends TLS on that machine, as MLflow calls https addresses only, and public ones only:

       python -m examples.webhook.receiver --port 8080

4. As an administrator of the MLflow server: `python -m examples.webhook.register --url https://hooks.example.org/qbias`.

For tests only, on one machine: MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https and MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true, set for the server, let
it call http://127.0.0.1:8080. The second one lets whoever may create webhooks reach every address that the server reaches.
"""
