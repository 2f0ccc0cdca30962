"""A mock in a process of its own, and clients for it."""

import os
import subprocess
import tempfile
import unittest

import boto3
from botocore.config import Config

REGION = "us-east-1"
ACCOUNT = "000000000000"
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


class MockCase(unittest.TestCase):
    """Starts one mock for the tests of a class."""

    flags = ["--state-delay", "0"]

    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.certificate = os.path.join(directory.name, "mock.pem")
        listen = ["--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"]
        certificate = ["--tls-certificate", cls.certificate]
        cls.mock = subprocess.Popen(
            [os.environ["MOCK"], "--verify-signatures", *listen, *certificate, *cls.flags],
            stdout=subprocess.PIPE,
            text=True,
        )
        cls.addClassCleanup(cls.stop)
        ready, cls.endpoint, cls.tls_endpoint = cls.mock.stdout.readline().split()
        assert ready == "ready", ready

    @classmethod
    def stop(cls):
        cls.mock.terminate()
        cls.mock.wait(10)
        cls.mock.stdout.close()

    @classmethod
    def client(cls, service, **options):
        options = {"endpoint_url": cls.endpoint, **CREDENTIALS, **options}
        config = Config(retries={"total_max_attempts": 1}, read_timeout=30)
        return boto3.client(service, region_name=REGION, config=config, **options)

    def stream(self, name, shards=1):
        """A client, and the stream it made."""
        kinesis = self.client("kinesis")
        kinesis.create_stream(StreamName=name, ShardCount=shards)
        kinesis.get_waiter("stream_exists").wait(StreamName=name)
        return kinesis
