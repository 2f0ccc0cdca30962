"""What boto3 users do: waiters, paginators, fan-out, lease tables."""

import datetime
import unittest

from botocore.exceptions import ClientError

from support import ACCOUNT, REGION, MockCase


class Records(MockCase):
    def test_any_bytes_come_back_with_their_key_and_time(self):
        kinesis = self.stream("bytes")
        data = bytes(range(256))
        before = datetime.datetime.now(datetime.timezone.utc)
        put = kinesis.put_record(StreamName="bytes", Data=data, PartitionKey="schlüssel")
        iterator = kinesis.get_shard_iterator(
            StreamName="bytes", ShardId=put["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        answer = kinesis.get_records(ShardIterator=iterator)
        (record,) = answer["Records"]
        self.assertEqual(record["Data"], data)
        self.assertEqual(record["PartitionKey"], "schlüssel")
        self.assertEqual(record["SequenceNumber"], put["SequenceNumber"])
        self.assertNotIn("EncryptionType", record)
        age = record["ApproximateArrivalTimestamp"] - before
        self.assertLess(abs(age.total_seconds()), 5)
        self.assertEqual(answer["MillisBehindLatest"], 0)

    def test_a_batch_is_stored_entry_by_entry(self):
        kinesis = self.stream("batch", shards=4)
        entries = [{"Data": str(n).encode(), "PartitionKey": str(n)} for n in range(500)]
        answer = kinesis.put_records(StreamName="batch", Records=entries)
        self.assertEqual(answer["FailedRecordCount"], 0)
        self.assertEqual(len({entry["ShardId"] for entry in answer["Records"]}), 4)

    def test_tls_is_trusted_by_the_certificate_that_it_printed(self):
        kinesis = self.client("kinesis", endpoint_url=self.tls_endpoint, verify=self.certificate)
        self.assertIn("StreamNames", kinesis.list_streams())

    def test_errors_are_the_modelled_ones(self):
        kinesis = self.client("kinesis")
        with self.assertRaises(kinesis.exceptions.ResourceNotFoundException) as raised:
            kinesis.describe_stream(StreamName="nowhere")
        message = raised.exception.response["Error"]["Message"]
        self.assertEqual(message, f"Stream nowhere under account {ACCOUNT} not found.")
        with self.assertRaises(ClientError) as raised:
            kinesis.create_stream(StreamName="?", ShardCount=1)
        self.assertEqual(raised.exception.response["Error"]["Code"], "ValidationException")


class Pages(MockCase):
    """Every paginator, over more than two pages."""

    def pages(self, kinesis, operation, key, size, **request):
        paginator = kinesis.get_paginator(operation)
        pages = list(paginator.paginate(**request, PaginationConfig={"PageSize": size}))
        self.assertGreater(len(pages), 2)
        return [item for page in pages for item in page[key]]

    def test_list_streams(self):
        kinesis = self.client("kinesis")
        names = [f"page-{n}" for n in range(7)]
        for name in names:
            kinesis.create_stream(StreamName=name, ShardCount=1)
        listed = self.pages(kinesis, "list_streams", "StreamNames", 3)
        self.assertEqual([name for name in listed if name in names], names)

    def test_shards(self):
        kinesis = self.stream("many", shards=7)
        listed = self.pages(kinesis, "list_shards", "Shards", 3, StreamName="many")
        self.assertEqual(len({shard["ShardId"] for shard in listed}), 7)
        paginator = kinesis.get_paginator("describe_stream")
        pages = list(paginator.paginate(StreamName="many", PaginationConfig={"PageSize": 3}))
        self.assertEqual([len(page["StreamDescription"]["Shards"]) for page in pages], [3, 3, 1])

    def test_list_stream_consumers(self):
        kinesis = self.stream("consumed")
        arn = kinesis.describe_stream_summary(StreamName="consumed")["StreamDescriptionSummary"][
            "StreamARN"
        ]
        for n in range(5):
            kinesis.register_stream_consumer(StreamARN=arn, ConsumerName=f"c{n}")
        listed = self.pages(kinesis, "list_stream_consumers", "Consumers", 2, StreamARN=arn)
        self.assertEqual(sorted(c["ConsumerName"] for c in listed), [f"c{n}" for n in range(5)])


class FanOut(MockCase):
    def test_a_subscription_pushes_records_and_ends_with_the_children(self):
        kinesis = self.stream("pushed")
        arn = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/pushed"
        consumer = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="reader")
        kinesis.put_record(StreamName="pushed", Data=b"one", PartitionKey="k")
        stream = kinesis.subscribe_to_shard(
            ConsumerARN=consumer["Consumer"]["ConsumerARN"],
            ShardId="shardId-000000000000",
            StartingPosition={"Type": "TRIM_HORIZON"},
        )["EventStream"]
        data, children = [], []
        for event in stream:
            event = event["SubscribeToShardEvent"]
            data += [record["Data"] for record in event["Records"]]
            children = event.get("ChildShards", [])
            if data == [b"one"]:
                kinesis.put_record(StreamName="pushed", Data=b"two", PartitionKey="k")
                kinesis.split_shard(
                    StreamName="pushed",
                    ShardToSplit="shardId-000000000000",
                    NewStartingHashKey=str(1 << 127),
                )
        self.assertEqual(data, [b"one", b"two"])
        self.assertEqual(
            [child["ShardId"] for child in children],
            ["shardId-000000000001", "shardId-000000000002"],
        )
        self.assertNotIn("ContinuationSequenceNumber", event)


class LeaseTable(MockCase):
    def test_a_lease_is_taken_once(self):
        dynamodb = self.client("dynamodb")
        dynamodb.create_table(
            TableName="leases",
            KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        dynamodb.get_waiter("table_exists").wait(TableName="leases")
        key = {"leaseKey": {"S": "shardId-000000000000"}}
        dynamodb.put_item(TableName="leases", Item={**key, "leaseCounter": {"N": "1"}})

        def take(owner):
            return dynamodb.update_item(
                TableName="leases",
                Key=key,
                UpdateExpression="SET leaseOwner = :owner, leaseCounter = :next",
                ConditionExpression="leaseCounter = :seen",
                ExpressionAttributeValues={
                    ":owner": {"S": owner},
                    ":seen": {"N": "1"},
                    ":next": {"N": "2"},
                },
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )

        self.assertEqual(take("a")["Attributes"]["leaseOwner"], {"S": "a"})
        with self.assertRaises(dynamodb.exceptions.ConditionalCheckFailedException) as raised:
            take("b")
        self.assertEqual(raised.exception.response["Item"]["leaseOwner"], {"S": "a"})


if __name__ == "__main__":
    unittest.main()
