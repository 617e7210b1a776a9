"""Each check is green on the repository's files, and red for a fault planted in a copy of them."""

import re
import shutil

import pytest

from tests.deploy import compose, dockerfiles, kubernetes, locks, policies
from tests.deploy.findings import ROOT

DOCKERFILE, COMPOSE, BASE = "deploy/docker/Dockerfile", "deploy/compose.yaml", "deploy/kubernetes/base"


@pytest.mark.parametrize("check", [dockerfiles, locks, compose, kubernetes, policies])
def test_the_files_of_the_repository_are_in_order(check):
    assert check.check(ROOT) == []


@pytest.mark.parametrize(
    ("text", "instead", "says"),
    [
        ("USER 10001:10001", "USER root", "not root"),
        ("USER 10001:10001", "", "not root"),
        ("FROM python:3.11.15-slim-bookworm AS base", "FROM python:latest AS base", "names no version"),
        ("FROM python:3.11.15-slim-bookworm AS base", "FROM python AS base", "DL3006"),
        ('ENTRYPOINT ["/opt/photochrom/bin/photochrom"]', "ENTRYPOINT photochrom", "DL3025"),
        ('ENTRYPOINT ["/opt/photochrom/bin/photochrom"]', 'ENTRYPOINT ["/bin/sh", "-c", "photochrom"]', "process 1"),
        ('CMD ["find", "/run/photochrom/heartbeat"', 'CMD ["photochrom", "status"', "imports the application"),
        ("libjpeg-turbo-progs=1:2.1.5-*", "libjpeg-turbo-progs", "DL3008"),
        ("--require-hashes -r deploy/docker/cuda.lock", "-r deploy/docker/cuda.lock", "neither hashes"),
        ("COPY worker worker", "COPY workers worker", "workers is not there"),
        ("--no-deps /wheels/*.whl", "--no-deps photochrom", "photochrom is installed in any version"),
        ('CMD ["find", "/run/photochrom/heartbeat"', 'CMD ["python3.11", "-m", "worker"', "imports the application"),
        ('"/run/photochrom/heartbeat", "-mmin"', '"/run/photochrom/ready", "-mmin"', "does not ask for"),
        ("ENV TORCH_HOME=/var/cache/photochrom/torch", "", "worker: TORCH_HOME is not in"),
        ("TORCH_HOME=/var/cache", "TORCH_HOME=/home", "cuda: TORCH_HOME is not in"),
        ("MODEL_CACHE=/var/cache/photochrom/models", "MODEL_CACHE=models", "PHOTOCHROM_MODEL_CACHE is not in"),
    ],
)
def test_a_fault_in_the_dockerfile_is_found(planted, text, instead, says):
    assert says in planted(dockerfiles, DOCKERFILE, text, instead)


def test_an_image_without_a_health_check_is_found(planted):
    text = (ROOT / DOCKERFILE).read_text()
    check = text[text.index("HEALTHCHECK") : text.index("ENTRYPOINT")]
    assert "it has no HEALTHCHECK" in planted(dockerfiles, DOCKERFILE, check, "")


@pytest.mark.parametrize(
    ("file", "pattern", "instead", "says"),
    [
        ("submit.lock", r"celery\[redis\]==\S+|celery==\S+", "celery==5.0.0", "is not met by 5.0.0"),
        ("cpu.lock", r"(?m)^numpy==.*\n(    --hash.*\n)+", "", "numpy>=2 is not met"),
        ("submit.lock", r"(?m)^(boto3==\S+) \\\n(    --hash.*\n)+", r"\1\n", "no hash for boto3"),
        ("torch-cpu.txt", r"torch==\S+", "torch==2.9.0", "not the torch of cuda.lock"),
        ("build.lock", r"(?m)^(setuptools==\S+) \\\n(    --hash.*\n)+", r"\1\n", "no hash for setuptools"),
        ("build.lock", r"(?m)^setuptools==\S+ \\\n(    --hash.*\n)+", "setuptools\n", "no hash for setuptools"),
    ],
)
def test_a_fault_in_a_lock_file_is_found(planted, file, pattern, instead, says):
    path = f"deploy/docker/{file}"
    text = re.search(pattern, (ROOT / path).read_text())[0]
    assert says in planted(locks, path, text, re.sub(pattern, instead, text))


@pytest.mark.parametrize(
    ("text", "instead", "says"),
    [
        ("  stop_grace_period: 2m\n", "", "not above the 100 s to drain"),
        ("  stop_grace_period: 2m\n", "  stop_grace_period: 100s\n", "not above the 100 s to drain"),
        ("image: redis:8.2.1-alpine", "image: redis:latest", "names no version"),
        ("    restart: unless-stopped\n    read_only", "    restrat: unless-stopped\n    read_only", "restrat"),
        ("  read_only: true\n  cap_drop", "  cap_drop", "more rights than it needs"),
        ("noeviction  #", "allkeys-lru  #", "noeviction"),
        ("PHOTOCHROM_DRAIN_SECONDS:", "PHOTOCHROM_DRAIN_SECOND:", "no setting PHOTOCHROM_DRAIN_SECOND"),
        ("AWS_SHARED_CREDENTIALS_FILE: /run", "AWS_SECRET_ACCESS_KEY: abc #", "AWS_SECRET_ACCESS_KEY is a secret"),
        (
            'test: ["CMD", "redis-cli", "-e", "--tls", "--cacert", "/run/secrets/redis_tls_cert", "ping"]',
            "test: redis-cli ping",
            "not in exec form",
        ),
        ('command: ["control"]', 'command: ["controls"]', "no command controls"),
        ("target: slim}", "target: thin}", "the Dockerfile has no thin"),
        ('"127.0.0.1:3000:3000"', '"3000:3000"', "open to everybody"),
        ("security_opt", "privileged: true\n  security_opt", "runs as root"),
        ("target: photochrom_redis_url}", "target: redis_url}", "no secret photochrom_redis_url"),
        ("source: models, target: /var/cache/photochrom}", "source: models, target: /models}", "cannot write to /var"),
        ('command: ["control"]', 'command: ["control"]\n    healthcheck: {test: [CMD, "true"]}', "than the heartbeat"),
        ("            - {driver: nvidia, count: 1, capabilities: [gpu]}\n", "            []\n", "it gets no GPU"),
        ("- -ip.bind=127.0.0.1", "- -ip.bind=0.0.0.0", "-ip.bind is not 127.0.0.1"),
        ("- -ip.bind=127.0.0.1\n", "- -logtostderr\n", "-ip.bind is not 127.0.0.1"),
        ("      - server\n", "      - mini\n", "another way in: mini"),
        ("      - -filer\n", "      - -filer\n      - -webdav\n", "another way in: -webdav"),
        ("      - -filer\n", "      - -filer\n      - -iam=true\n", "another way in: -iam"),
        ("- -config_dir=/run/secrets  #", "- -logtostderr  #", "-config_dir is not /run/secrets"),
        ("target: security.toml}", "target: seaweedfs.toml}", "s3: it has no secret security.toml"),
        ('user: "1000:1000"', 'user: "1001:1001"', "s3: it cannot write its data"),
        ('user: "1000:1000"  #', "init: true  #", "s3: it cannot write its data"),
        ("    read_only: true\n    tmpfs: [", "    tmpfs: [", "s3: it has more rights than it needs"),
    ],
)
def test_a_fault_in_the_compose_file_is_found(planted, text, instead, says):
    assert says in planted(compose, COMPOSE, text, instead)


@pytest.mark.parametrize(
    ("file", "text", "instead", "says"),
    [
        ("worker.yaml", "terminationGracePeriodSeconds: 130", "terminationGracePeriodSeconds: 60", "to drain"),
        ("worker.yaml", "serviceAccountName", "serviceAcountName", "serviceAcountName"),
        ("worker.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "its rights are not"),
        ("worker.yaml", "runAsNonRoot: true", "runAsNonRoot: false", "may run as root"),
        ("worker.yaml", "[test, -e, /run/photochrom/ready]", "[sh, -c, test]", "starts a shell"),
        ("worker.yaml", "emptyDir: {sizeLimit: 18Gi}", "emptyDir: {}", "may fill the node"),
        ("worker.yaml", "strategy:", "replicas: 3\n  strategy:", "how many replicas"),
        ("control.yaml", "{type: Recreate}", "{type: RollingUpdate}", "two control processes"),
        ("control.yaml", "limits: {memory: 512Mi,", "limits: {", "no limit of memory"),
        ("kustomization.yaml", "  - network.yaml", "  - networks.yaml", "networks.yaml"),
        ("kustomization.yaml", "newTag: 0.1.0", "newTag: latest", "names no version"),
        ("network.yaml", "policyTypes: [Ingress, Egress]", "policyTypes: [Ingress]", "denies what is not allowed"),
        ("network.yaml", "  egress:\n", "  egress:\n    - {}\n", "lets everything pass"),
        ("network.yaml", "      ports: [{protocol: TCP, port: metrics}]\n", "", "lets everything pass"),
        ("network.yaml", ", except: [169.254.0.0/16]", "", "the node's metadata"),
        ("network.yaml", "{protocol: TCP, port: 443}", "{protocol: TCP, port: 80}", "more than port 443"),
        ("kustomization.yaml", "  - disruption.yaml\n", "", "all workers may be taken away at once"),
        ("disruption.yaml", "component: worker", "component: workers", "selects no pods"),
        ("worker.yaml", "[find, /run/photochrom/heartbeat", "[find, /run/photochrom/ready", "startupProbe does not"),
        ("worker.yaml", "[test, -e, /run/photochrom/ready]", "[test, -e, /tmp]", "readinessProbe does not ask for"),
        ("worker.yaml", "[test, -e, /run/photochrom/ready]", "[/usr/bin/python3.11, -c]", "imports the application"),
        ("training.yaml", "mountPath: /var/cache/photochrom}", "mountPath: /cache}", "cannot write to /var/cache"),
        ("scaling.yaml", "component=worker", "component=control", "counts the pods of"),
        ("scaling.yaml", "podSelector:", "podSelecter:", "podSelecter"),
        ("scaling.yaml", "type: kubernetes-workload", "type: cron", "cron"),
        ("scaling.yaml", "pollingInterval", "pollInterval", "pollInterval"),
        ("scaling.yaml", 'listLength: "4"', 'listLenght: "4"', "listLenght"),
        ("scaling.yaml", r"\x06\x166", r"\x06\x165", "nothing watches"),
        ("scaling.yaml", "scaleTargetRef: {name: worker}", "scaleTargetRef: {name: workers}", "no Deployment workers"),
        ("scaling.yaml", "+ low) / 4", ") / 4", "leaves out or invents low"),
        ("config.env", "PHOTOCHROM_READ_FROM", "PHOTOCHROM_READS_FROM", "no setting PHOTOCHROM_READS_FROM"),
        ("config.env", "DRAIN_SECONDS=100", "DRAIN_SECONDS=125", "to drain"),
    ],
)
def test_a_fault_in_the_kubernetes_files_is_found(planted, tmp_path, file, text, instead, says):
    for overlay in ("gpu", "spot"):  # they have the same base, and one overlay shows it
        shutil.rmtree(tmp_path / kubernetes.OVERLAYS / overlay)
    assert says in planted(kubernetes, f"{BASE}/{file}", text, instead)


def test_a_grace_period_beyond_the_notice_of_a_spot_instance_is_found(planted):
    spot = "deploy/kubernetes/overlays/spot/kustomization.yaml"
    assert "longer than the notice" in planted(kubernetes, spot, "PeriodSeconds: 110", "PeriodSeconds: 130")


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("image: photochrom/cuda\n", "image: photochrom/worker\n"),
        (', nvidia.com/gpu: "1"}\n            volumes', "}\n            volumes"),
    ],
)
def test_a_gpu_without_its_image_or_an_image_without_its_gpu_is_found(planted, text, instead):
    gpu = "deploy/kubernetes/overlays/gpu/kustomization.yaml"
    assert "do not belong together" in planted(kubernetes, gpu, text, instead)


@pytest.mark.parametrize(
    ("role", "text", "instead", "says"),
    [
        ("worker", '"s3:GetObject"', '"s3:*"', "s3:* is more than any role needs"),
        ("worker", "${ARCHIVE_PREFIX}*", "*", "is a whole bucket"),
        ("worker", "arn:aws:s3:::${OUTPUT_BUCKET}/${OUTPUT_PREFIX}*", "*", "more than one bucket"),
        ("worker", "submissions/*/quarantine/*", "models/*", "it puts models"),
        ("control", '"s3:GetObject"', '"s3:GetObject", "s3:PutObject"', "it writes to archive"),
        ("training", '"s3:AbortMultipartUpload"', '"s3:DeleteObject"', "it deletes"),
        ("submit", "StringLikeIfExists", "StringLikeIfExist", "not evaluated"),
        ("collector", "STATE_BUCKET", "STATE", "cannot be read"),
    ],
)
def test_a_policy_that_is_too_wide_or_broken_is_found(planted, role, text, instead, says):
    assert says in planted(policies, f"deploy/aws/{role}.json", text, instead)
