# The environment of every verb, and the checkout itself: what a Kubernetes job or a Ray node runs. `docker build -t <repository>/qbias .`
# One image for all machines: results are bit-identical only between equal libraries (and equal processors).
FROM python:3.11-slim

RUN apt-get update && apt-get install --yes --no-install-recommends git && rm -rf /var/lib/apt/lists/*

WORKDIR /mlflow/projects/code
COPY pyproject.toml README.md LICENSE ./
COPY qbias qbias
# On machines without a GPU: --build-arg INDEX=https://download.pytorch.org/whl/cpu takes 2 GB less.
ARG INDEX=https://pypi.org/simple
RUN pip install --no-cache-dir --extra-index-url "${INDEX}" --editable '.[ray]'
COPY . .

# Pixels and embeddings: mount a volume here, so that a job goes on where the last one stopped.
ENV QBIAS_CACHE=/cache MLFLOW_DISABLE_TELEMETRY=true
CMD ["python", "-m", "entrypoints.main", "--help"]
