"""The AWS CLI walk of an ordinary tutorial."""

import base64
import json
import os
import subprocess
import sys

from support import ACCOUNT, REGION, MockCase


class Tutorial(MockCase):
    # The defaults: a stream is CREATING for a while, as at AWS.
    flags = []

    def aws(self, *words):
        """What a command of `aws kinesis` prints, and its error text."""
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_PAGER": "",
            "AWS_MAX_ATTEMPTS": "1",
        }
        command = [sys.executable, "-m", "awscli", "kinesis", *words, "--output", "json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        return (json.loads(done.stdout) if done.stdout else None), done.stderr

    def ok(self, *words):
        answer, error = self.aws(*words)
        self.assertEqual(error, "")
        return answer

    def until(self, status):
        while True:
            answer = self.ok("describe-stream-summary", "--stream-name", "Foo")
            if answer["StreamDescriptionSummary"]["StreamStatus"] == status:
                return answer["StreamDescriptionSummary"]

    def test_the_tutorial_works_unchanged(self):
        self.ok("create-stream", "--stream-name", "Foo")
        summary = self.until("ACTIVE")
        self.assertEqual(summary["StreamARN"], f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/Foo")
        self.assertEqual(self.ok("list-streams")["StreamNames"], ["Foo"])

        words = ["--stream-name", "Foo", "--partition-key", "123", "--data", "testdata"]
        put = self.ok("put-record", *words)
        words = ["--shard-id", put["ShardId"], "--shard-iterator-type", "TRIM_HORIZON"]
        iterator = self.ok("get-shard-iterator", "--stream-name", "Foo", *words)["ShardIterator"]
        (record,) = self.ok("get-records", "--shard-iterator", iterator)["Records"]
        self.assertEqual(record["PartitionKey"], "123")
        self.assertEqual(base64.b64decode(record["Data"]), b"testdata")

        self.ok("delete-stream", "--stream-name", "Foo")
        while True:
            _, error = self.aws("describe-stream-summary", "--stream-name", "Foo")
            if error:
                break
        self.assertIn(f"Stream Foo under account {ACCOUNT} not found", error)
        self.assertIn("ResourceNotFoundException", error)
