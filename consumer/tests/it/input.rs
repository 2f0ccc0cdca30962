//! Bad input: a typed error that says what was tried, and nothing lost.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use shardwise_consumer::{
    ConfigErrorKind, MIN_FAILOVER, MemoryLeaseStore, Worker, WorkerBuilder, WorkerErrorKind,
};
use shardwise_mock::Operation;

use crate::journal::Habits;
use crate::support::{APPLICATION, TestResult, World, seconds};

#[tokio::test(start_paused = true)]
async fn an_unknown_stream_is_an_error_that_names_it_and_no_table_is_made() -> TestResult {
    let world = World::empty();
    let host = world.host("a");
    let error = host.start().task.await?.unwrap_err();
    assert_eq!(error.kind(), WorkerErrorKind::UnknownStream);
    assert!(error.to_string().contains("orders"), "{error}");
    assert_eq!(world.mock.calls(Operation::CreateTable), 0);
    Ok(())
}

async fn make_table(world: &World, key: &str) -> TestResult {
    world
        .dynamodb()
        .create_table()
        .table_name(APPLICATION)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(
            AttributeDefinition::builder()
                .attribute_name(key)
                .attribute_type(ScalarAttributeType::S)
                .build()?,
        )
        .key_schema(
            KeySchemaElement::builder()
                .attribute_name(key)
                .key_type(KeyType::Hash)
                .build()?,
        )
        .send()
        .await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_foreign_table_is_an_error_and_nothing_is_written_to_it() -> TestResult {
    let world = World::new(1);
    make_table(&world, "customer").await?;
    let host = world.host("a");
    let error = host.start().task.await?.unwrap_err();
    assert_eq!(error.kind(), WorkerErrorKind::LeaseTable);
    assert!(error.to_string().contains(APPLICATION), "{error}");
    for operation in [
        Operation::PutItem,
        Operation::UpdateItem,
        Operation::DeleteItem,
    ] {
        assert_eq!(world.mock.calls(operation), 0);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn leases_of_many_streams_are_counted_and_left_alone() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let worker = host.start();
    let all = world.put_numbered("r", 2).await;
    world.until_processed(&all).await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let key = text("123456789012:orders:1700000000:shardId-000000000001");
    let put = world.dynamodb().put_item().table_name(APPLICATION);
    put.item("leaseKey", key.clone())
        .item("leaseCounter", AttributeValue::N("7".to_owned()))
        .item("checkpoint", text("TRIM_HORIZON"))
        .send()
        .await?;
    let counted = || worker.stats.snapshot().multi_stream_leases == 1;
    world.until("counted", counted).await;
    world.sleep(seconds(60.0)).await;
    let get = world.dynamodb().get_item().table_name(APPLICATION);
    let item = get.key("leaseKey", key).send().await?.item.unwrap();
    assert_eq!(item["leaseCounter"], AttributeValue::N("7".to_owned()));
    assert_eq!(item.len(), 3);
    assert_eq!(worker.holds(), [0].into());
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_missing_table_is_an_error_when_it_is_not_to_be_made() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let builder = host.builder().create_table(false);
    let error = host
        .start_with(builder, Habits::default())
        .task
        .await?
        .unwrap_err();
    assert_eq!(error.kind(), WorkerErrorKind::LeaseTable);
    assert_eq!(world.mock.calls(Operation::CreateTable), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_understood_stops_its_shard_only() -> TestResult {
    let world = World::new(2);
    let host = world.host("a");
    let worker = host.start();
    let first = world.put_numbered("first-", 8).await;
    world.until_processed(&first).await;
    worker.stop().await?;
    world
        .dynamodb()
        .update_item()
        .table_name(APPLICATION)
        .key(
            "leaseKey",
            AttributeValue::S("shardId-000000000000".to_owned()),
        )
        .update_expression("SET checkpoint = :x")
        .expression_attribute_values(":x", AttributeValue::S("what is this".to_owned()))
        .send()
        .await?;
    let second = world.put_numbered("second-", 8).await;
    let host = world.host("b");
    let worker = host.start();
    world.sleep(seconds(60.0)).await;
    let seen = world.journal.records(|entry| entry.host == "b");
    assert!(!seen.is_empty() && seen.len() < second.len());
    assert_eq!(worker.holds().into_iter().collect::<Vec<_>>(), [1]);
    assert_eq!(world.leases().await[&0]["checkpoint"], "what is this");
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_wrong_setting_or_name_is_an_error_before_any_call() {
    let world = World::new(1);
    let host = world.host("a");
    let wrong: [fn(WorkerBuilder) -> WorkerBuilder; 6] = [
        |builder| builder.failover(MIN_FAILOVER - Duration::from_millis(1)),
        |builder| builder.idle_between_reads(Duration::from_millis(199)),
        |builder| builder.max_records(0),
        |builder| builder.max_records(10_001),
        |builder| builder.max_leases(0),
        |builder| builder.processor_attempts(0),
    ];
    for wrong in wrong {
        let journal = world.journal.clone();
        let error = wrong(host.builder())
            .build(move |shard| journal.processor("a", shard, &Habits::default()))
            .unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::InvalidSetting, "{error}");
    }
    let ready = || {
        Worker::builder(&host.aws)
            .application("billing")
            .stream("orders")
    };
    let wrong = [
        Worker::builder(&host.aws).application("billing"),
        Worker::builder(&host.aws).stream("orders"),
        ready().application("no/table"),
        ready().stream("no stream"),
        ready().worker_id(""),
    ];
    for wrong in wrong {
        let journal = world.journal.clone();
        let error = wrong
            .build(move |shard| journal.processor("a", shard, &Habits::default()))
            .unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::InvalidName, "{error}");
    }
    assert_eq!(world.mock.calls(Operation::DescribeStreamSummary), 0);
}

#[tokio::test(start_paused = true)]
async fn leases_in_memory_are_shared_by_workers_and_need_no_dynamodb() -> TestResult {
    let world = World::new(2);
    let store = MemoryLeaseStore::new();
    let (a, b) = (world.host("a"), world.host("b"));
    let first = world.put_numbered("first-", 8).await;
    let worker_a = a.start_with(a.builder().lease_store(store.clone()), Habits::default());
    world.until_processed(&first).await;
    let worker_b = b.start_with(b.builder().lease_store(store), Habits::default());
    world
        .until("b has its share", || worker_b.holds().len() == 1)
        .await;
    worker_a.stop().await?;
    let second = world.put_numbered("second-", 8).await;
    world.until_processed(&second).await;
    worker_b.stop().await?;
    assert_eq!(world.journal.records(|_| true).len(), 16);
    assert_eq!(world.mock.calls(Operation::Scan), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_shorter_failover_makes_everything_quicker() -> TestResult {
    let world = World::new(2);
    let (a, b) = (world.host("a"), world.host("b"));
    let failover = seconds(2.0);
    let _dies = a.start_with(a.builder().failover(failover), Habits::default());
    let worker = b.start_with(b.builder().failover(failover), Habits::default());
    world.sleep(seconds(10.0)).await;
    assert_eq!(worker.holds().len(), 1);
    let died = world.now();
    a.node.kill();
    let all = world.put_numbered("r", 8).await;
    let took = world.until_processed(&all).await - died;
    assert!(took < failover.mul_f64(1.5) + seconds(2.0), "{took:?}");
    worker.stop().await?;
    Ok(())
}
