"""What the tests ask delta-rs: python deltars.py PLACE COMMAND [ARGUMENTS].

One JSON value goes to standard output. The server of a bucket is at
$AMPIPE_TEST_ENDPOINT.
"""

import datetime
import decimal
import json
import os
import struct
import sys

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

place, command, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
endpoint = os.environ.get("AMPIPE_TEST_ENDPOINT")
options = {}
if place.startswith("s3:"):
    options = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": os.environ["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": os.environ["AWS_SECRET_ACCESS_KEY"],
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
        "AWS_CONDITIONAL_PUT": "etag",
    }
elif place.startswith("gs:"):
    nobody = {"gcs_base_url": endpoint, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    options = {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(nobody), "ALLOW_HTTP": "true"}
elif place.startswith("azblob:"):
    place = place.replace("azblob:", "az:")
    options = {
        "AZURE_STORAGE_ENDPOINT": endpoint,
        "AZURE_STORAGE_ACCOUNT_NAME": os.environ["AZURE_STORAGE_ACCOUNT"],
        "AZURE_STORAGE_ACCOUNT_KEY": os.environ["AZURE_STORAGE_KEY"],
        "ALLOW_HTTP": "true",
    }


def table(version=None):
    return DeltaTable(place, version=version, storage_options=options)


def text(value):
    """Writes values so that Go can compare them."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, dict):
        return {k: text(v) for k, v in value.items()}
    if isinstance(value, list):
        return [text(v) for v in value]
    if isinstance(value, tuple):
        return [text(v) for v in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value.hex()
    return str(value)


def exact(value):
    """Writes values in one form, whatever their type."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, dict):
        return {k: exact(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [exact(v) for v in value]
    if isinstance(value, float):
        return struct.pack(">d", value).hex()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value


def rows(found):
    return [text(list(row.values())) for row in found.to_pylist()]


def scan(version, filters=None):
    return rows(table(version).to_pyarrow_table(filters=filters))


if command == "versions":  # the rows of each version, and of each with a filter
    low, high = int(arguments[0]), int(arguments[1])
    newest = table().version()
    answer = []
    for version in range(newest + 1):
        answer.append(
            {
                "all": scan(version),
                "some": scan(version, [("block_num", ">=", low), ("block_num", "<", high)]),
            }
        )
elif command == "rows":
    answer = scan(None)
elif command == "values":
    answer = None
    lines = []
    for row in table().to_pyarrow_table().to_pylist():
        lines.append(json.dumps([exact(v) for v in row.values()], sort_keys=True, separators=(",", ":"), ensure_ascii=False))
    sys.stdout.write("[" + ",\n".join(lines) + "]")
    sys.stdout.flush()
    os._exit(0)
elif command == "dicts":
    answer = [exact(row) for row in table().to_pyarrow_table().to_pylist()]
elif command == "schema":
    answer = json.loads(table().schema().to_json())
elif command == "history":
    answer = [{"operation": h["operation"], "engine": h.get("engineInfo"), "version": h["version"]} for h in table().history()]
elif command == "files":
    answer = len(table().file_uris())
elif command == "transaction":
    answer = table().transaction_version(arguments[0])
elif command == "optimize":
    try:
        answer = table().optimize.compact()["numFilesRemoved"]
    except CommitFailedError as e:
        answer = -1
        print(e, file=sys.stderr)
elif command == "vacuum":
    hours = int(arguments[0])
    answer = len(table().vacuum(hours, enforce_retention_duration=False, dry_run=False))
elif command == "checkpoint":
    t = table()
    t.create_checkpoint()
    answer = t.version()
elif command == "append":  # rows of somebody else, with nothing of ours
    extra = pa.table(
        {
            "key": pa.array(["foreign"], pa.string()),
            "block_num": pa.array([int(arguments[0])], pa.int64()),
            "log_index": pa.array([0], pa.int32()),
            "value": pa.array([0], pa.int64()),
        }
    )
    write_deltalake(place, extra, mode="append", storage_options=options)
    answer = table().version()
else:
    sys.exit("unknown command " + command)

json.dump(answer, sys.stdout)
sys.stdout.flush()
os._exit(0)  # the threads of the libraries do not always survive an orderly end
