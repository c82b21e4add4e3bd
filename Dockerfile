# rdpt on an NVIDIA GPU. Checked by hadolint; NOT BUILT yet. torch 2.13 brings its own CUDA 13.0; the
# base image gives the driver's interface, and gcc is for torch.compile.
#
#   docker build --tag rdpt .
#   docker run --rm --gpus all --volume "$PWD:/study" rdpt run mine.toml
#
# The experiment, its files and the workspace are in the mounted folder. To keep models of the hub:
#   --volume "$HOME/.cache/huggingface:/models"
# To read or write the mounted folder as another user: --user "$(id -u):$(id -g)" --env HOME=/tmp
FROM nvidia/cuda:13.0.1-runtime-ubuntu24.04

# Versions of Ubuntu's packages follow the base image.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

ENV PATH=/opt/rdpt/bin:$PATH \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    HF_HOME=/models \
    RDPT_WORKSPACE=/study/workspace

WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY flows flows
COPY mlflow mlflow
COPY rdpt_core rdpt_core
COPY settings settings
COPY tasks tasks
RUN python3 -m venv /opt/rdpt \
    && /opt/rdpt/bin/python -m pip install --constraint constraints.txt '.[gguf,sentencepiece]'

# The image's user `ubuntu`, who keeps models of the hub where nothing is mounted.
RUN install -d -o 1000 -g 1000 /models
USER 1000
WORKDIR /study
ENTRYPOINT ["rdpt"]
CMD ["--help"]
