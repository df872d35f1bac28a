# docker build -t eesmm-keras .                                   the processor
# docker build -t eesmm-keras --build-arg CUDA=1 .                TensorFlow's CUDA libraries too
# docker build -t eesmm-keras --build-arg EXTRAS=[jax,tiff] .     extras of pyproject.toml
# docker run --rm -v "$PWD":/work eesmm-keras pretrain --data photos/ --out runs/photos
# With CUDA: docker run --gpus all ... (the NVIDIA container toolkit brings the driver).
FROM python:3.11-slim

ARG CUDA=""
ARG EXTRAS=""

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY eesmm_keras eesmm_keras
COPY cli cli
COPY exports exports
COPY docs docs
# What is installed is this folder, which has no version to pin (DL3013). The second call installs the CUDA libraries that belong to the TensorFlow of the first.
# hadolint ignore=DL3013
RUN python -m pip install --no-cache-dir ".${EXTRAS}" \
    && if [ -n "$CUDA" ]; then \
        version="$(python -c 'from importlib.metadata import version; print(version("tensorflow"))')" \
        && python -m pip install --no-cache-dir "tensorflow[and-cuda]==${version}"; \
    fi \
    && useradd --create-home --uid 1000 eesmm

USER 1000
WORKDIR /work
ENTRYPOINT ["eesmm"]
CMD ["--help"]
