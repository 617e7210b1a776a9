"""Makes the secrets that compose.yaml mounts: certificates, a Redis user for each role, its URL, and S3 keys.

    python deploy/docker/make_secrets.py FOLDER [--redis HOST:PORT] [--archive BUCKET] [--output BUCKET] ...

FOLDER lies outside the repository. What is there already stays: a second run only adds what is missing. Redis gets
hashes, never a password. With S3 from AWS, put keys of your own into the files aws_credentials_*, or use roles.

Redis is spoken to over TLS alone. Its certificate signs itself, and is all that the roles trust; for a Redis whose
certificate comes from a public authority, as of a managed one, there is --redis-ca system. For another certificate,
remove the files redis_* and run it again: the passwords change with it.

Needs nothing but Python and openssl: it runs on the host, before there is any image.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import secrets
import subprocess
import tempfile
from pathlib import Path

ORDINARY = "+@read +@write +@transaction +@connection +eval +evalsha +script|load +script|exists +time"
CELERY = f"~_kombu.binding* {ORDINARY} -@dangerous +info"
"""What Celery and the ledger ask of Redis; nothing of it touches the server's settings, users or other keys."""

QUEUE, TAKEN = "~photochrom.{0}*", "~photochrom:unacked*:{0}"
SUBMISSIONS = "~photochrom:submission:* ~photochrom:active"

REDIS_USERS = {
    "worker": f"{QUEUE} {TAKEN}".format("colorize") + f" {SUBMISSIONS} {CELERY}",
    "control": f"~photochrom.* ~photochrom:* {CELERY}",
    "training": f"{QUEUE} {TAKEN}".format("training") + f" ~photochrom:training:* ~photochrom:lock:training:* {CELERY}",
    # people and services: submit, status, cancel, resume, redrive, report, reconcile, runs watch
    "submit": f"{QUEUE} ~photochrom:lock:advance:*".format("control")
    + f" ~photochrom.colorize* {SUBMISSIONS} %R~photochrom:unacked:colorize %R~photochrom:training:* {CELERY}",
    # what scales workers: the lengths of the queues, and how much is in hand
    "scaler": "~photochrom.colorize* ~photochrom:unacked:colorize "
    "+eval +evalsha +type +llen +hlen +zcard +scard +@connection -@dangerous",
}
"""The rules of each user, as Redis's ACL has them: keys (~), channels (&), commands (+, -)."""

ANYBODY = "user default on nopass resetkeys resetchannels -@all +ping"
"""Who has not said who he is may ask whether Redis is there: the health check needs no password."""

PROCESSES = ("worker", "control", "training", "submit")
"""The roles that talk to S3."""


MOUNTED = "/run/secrets"
"""Where the containers find these files."""

CERTIFICATE = """\
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = Photochrom
[extensions]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, digitalSignature, keyCertSign
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
subjectAltName = DNS:{host}, DNS:localhost, IP:127.0.0.1
"""
"""It vouches for itself and for nobody else, and for no client; Redis's health check asks at 127.0.0.1."""

CERTIFICATE_DAYS = 3650

SEAWEEDFS_SECURITY = """\
# What SeaweedFS asks of whoever talks to its parts: tokens by HTTP, and by gRPC, where S3 listens, a certificate
# that no client has.
[jwt.signing]
key = "{0}"
[jwt.signing.read]
key = "{0}"
[jwt.filer_signing]
key = "{0}"
[jwt.filer_signing.read]
key = "{0}"
[grpc]
ca = "{1}/seaweedfs_cert"
[grpc.s3]
cert = "{1}/seaweedfs_cert"
key = "{1}/seaweedfs_key"
"""


def acl(passwords: dict[str, str]) -> str:
    """Redis's file of users; passwords stand in it as SHA-256."""
    lines = [ANYBODY]
    for user, rules in REDIS_USERS.items():
        digest = hashlib.sha256(passwords[user].encode()).hexdigest()
        lines.append(f"user {user} on #{digest} resetkeys resetchannels -@all {rules}")
    return "\n".join(lines) + "\n"


def s3_identities(keys: dict[str, tuple[str, str]], archive: str, output: str, state: str) -> str:
    """SeaweedFS's file of identities: by bucket, for its actions know no more (deploy/aws has the finer rules)."""
    reads = {"worker": (archive, output), "submit": (archive,), "control": (archive,), "training": (archive,)}
    actions = {
        role: [
            *(f"{action}:{bucket}" for bucket in (*reads[role], state) for action in ("Read", "List")),
            f"Write:{state}",
            *([f"Write:{output}"] if role == "worker" else []),
        ]
        for role in PROCESSES
    } | {"admin": ["Admin"]}
    identities = [
        {
            "name": role,
            "credentials": [dict(zip(("accessKey", "secretKey"), keys[role], strict=True))],
            "actions": found,
        }
        for role, found in actions.items()
    ]
    return json.dumps({"identities": identities}, indent=2) + "\n"


def certificate(host: str, owner: str = "redis_tls") -> dict[str, str]:
    """A certificate for a server at `host` that signs itself, and its key, as PEM, by the names of their files.

    Raises SystemExit without openssl.
    """
    with tempfile.TemporaryDirectory() as folder:
        config, made, key = (Path(folder) / name for name in ("config", "certificate", "key"))
        config.write_text(CERTIFICATE.format(host=host))
        kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256"]
        command = ["openssl", "req", *kind, "-days", str(CERTIFICATE_DAYS), "-config", str(config)]
        try:
            done = subprocess.run([*command, "-out", str(made), "-keyout", str(key)], capture_output=True, text=True)
        except FileNotFoundError:
            raise SystemExit("openssl is not installed: it makes the certificates") from None
        if done.returncode:
            raise SystemExit(f"openssl could not make a certificate for {host}: {done.stderr}")
        return {f"{owner}_cert": made.read_text(), f"{owner}_key": key.read_text()}


def write_all(folder: Path, redis: str, archive: str, output: str, state: str, public: bool = False) -> list[str]:
    """Write what is missing in `folder`; gives back the names of what was written.

    `public`: Redis's certificate is from an authority that the system trusts, and none is made.
    """
    passwords = {user: secrets.token_urlsafe(32) for user in REDIS_USERS}
    keys = {role: (secrets.token_hex(10), secrets.token_urlsafe(32)) for role in (*PROCESSES, "admin")}
    trust = "" if public else f"?ssl_ca_certs={MOUNTED}/redis_tls_cert"
    groups = {
        "redis_users": {
            "redis_users": acl(passwords),
            **{f"redis_url_{user}": f"rediss://{user}:{word}@{redis}/0{trust}" for user, word in passwords.items()},
        },
        **({} if public else {"redis_tls_cert": certificate(redis.rpartition(":")[0])}),
        "seaweedfs_s3": {
            "seaweedfs_s3": s3_identities(keys, archive, output, state),
            **{f"aws_credentials_{role}": _credentials(*pair) for role, pair in keys.items()},
        },
        "seaweedfs_security": {
            "seaweedfs_security": SEAWEEDFS_SECURITY.format(secrets.token_urlsafe(32), MOUNTED),
            **certificate("s3", "seaweedfs"),
        },
        "grafana_password": {"grafana_password": secrets.token_urlsafe(24)},
    }
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = []
    for first, files in groups.items():
        if (folder / first).exists():  # the others of its group belong to it
            continue
        for name, text in files.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o444)  # containers run as users of their own; the folder is what is closed
            written.append(name)
    return written


def _credentials(key: str, secret: str) -> str:
    return f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--redis", default="redis:6379", help="where Redis is, as the containers see it")
    parser.add_argument(
        "--redis-ca",
        choices=("own", "system"),
        default="own",
        help="who vouches for Redis: a certificate that is made here, or the authorities that the system trusts",
    )
    parser.add_argument("--archive", default="archive", help="bucket of the photographs")
    parser.add_argument("--output", default="coloured", help="bucket of the results")
    parser.add_argument("--state", default="photochrom-state", help="bucket of submissions, outcomes and models")
    chosen = parser.parse_args()
    buckets = chosen.archive, chosen.output, chosen.state
    for name in write_all(chosen.folder, chosen.redis, *buckets, public=chosen.redis_ca == "system"):
        print(chosen.folder / name)


if __name__ == "__main__":
    main()
