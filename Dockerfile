# A machine that has `rspnet` and nothing else.
#   CPU:  docker build -t rspnet .
#   CUDA: docker build -t rspnet --build-arg BASE=pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime --build-arg TORCH_INDEX= .
#   docker run --rm -v "$PWD/my_videos:/videos:ro" -v "$PWD/out:/out" rspnet embed /videos --weights rspnet-small --out /out/features
ARG BASE=python:3.11-slim
FROM ${BASE}

# Where torch comes from; empty: the base image has it already.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=search,ui,probe,remote,export

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
# hadolint ignore=DL3013
RUN if [ -n "${TORCH_INDEX}" ]; then pip install --no-cache-dir --index-url "${TORCH_INDEX}" torch; fi \
    && pip install --no-cache-dir ".[${EXTRAS}]" \
    && useradd --uid 1000 --create-home rspnet

USER 1000
WORKDIR /home/rspnet
ENTRYPOINT ["rspnet"]
CMD ["--help"]
