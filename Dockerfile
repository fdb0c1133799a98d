# One image for every node of a cluster, and for `docker run`:
#   docker build --build-arg TORCH=cuda --tag spark-tts-batch:cuda .
#   docker run --rm --read-only --tmpfs /tmp --shm-size 4g --volume cache:/cache --volume "$PWD":/work \
#     --user "$(id -u)" spark-tts-batch:cuda synthesize --config configs/demo.yaml
# It runs as any user. Written are /cache (fetched weights, compiled kernels), /tmp (Ray) and what the config names.
FROM python:3.11-slim-bookworm

# cpu or cuda. The latter is the build that the public index has; the driver is the host's.
ARG TORCH=cpu
ARG EXTRAS=s3,gcs,azure,hub,cluster,books,whisper
ENV PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 UV_SYSTEM_PYTHON=1

# Triton compiles what starts its kernels, once, into the cache.
# hadolint ignore=DL3008
RUN case "$TORCH" in cpu) ;; cuda) \
      apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/* ;; \
    *) echo "TORCH=$TORCH: expected cpu or cuda" && exit 1 ;; esac

# What seldom changes comes first. Installed into the image's own Python: login shells, as KubeRay starts, find it.
WORKDIR /opt/spark-tts-batch
COPY constraints.txt ./
RUN pip install --constraint constraints.txt uv \
    && if [ "$TORCH" = cpu ]; then export UV_TORCH_BACKEND=cpu; fi \
    && uv pip install --constraint constraints.txt torch \
    && python -W ignore -c "import torch; assert (torch.version.cuda is not None) == ('$TORCH' == 'cuda'), torch.__version__"
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY jobs jobs
COPY pipeline pipeline
RUN uv pip install --constraint constraints.txt ".[$EXTRAS]"

ENV HOME=/tmp SPARK_TTS_CACHE=/cache TRITON_CACHE_DIR=/cache/triton NUMBA_CACHE_DIR=/cache/numba
RUN install --directory --mode 1777 /cache /work
VOLUME /cache
WORKDIR /work
USER 10001
ENTRYPOINT ["spark-tts-batch"]
CMD ["--help"]
