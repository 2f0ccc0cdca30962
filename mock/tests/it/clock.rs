//! Time that a test moves by hand: hours pass at once.

use std::time::Duration;

use serde_json::{Value, json};
use shardwise_env::ManualClock;
use shardwise_mock::Mock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{AUTHORIZATION, Client, shard_id};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_iterator_expires_and_records_are_trimmed_when_the_clock_is_moved() {
    let clock = ManualClock::new();
    let mock = Mock::builder().env(clock.env()).build();
    let client = Client::new(&mock);
    client.create("s", 1).await;
    client.put("s", "a", b"old").await;
    let iterator = client.iterator("s", 0, "TRIM_HORIZON").await;
    clock.advance(5 * MINUTE);
    let body = json!({"ShardIterator": iterator});
    client.ok("GetRecords", body.clone()).await;
    clock.advance(Duration::from_millis(1));
    let (kind, _) = client.refused("GetRecords", body).await;
    assert_eq!(kind, "ExpiredIteratorException");
    clock.advance(24 * 60 * MINUTE);
    client.put("s", "a", b"new").await;
    let iterator = client.iterator("s", 0, "TRIM_HORIZON").await;
    assert_eq!(client.drain(iterator, 10).await.len(), 1);
}

/// Asks on a connection of its own.
async fn ask(stream: &mut TcpStream, operation: &str, body: Value) -> (String, Value) {
    let body = body.to_string();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nx-amz-target: Kinesis_20131202.{operation}\r\n\
         content-type: application/x-amz-json-1.1\r\nx-amz-date: 0\r\n\
         authorization: {AUTHORIZATION}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        stream.read_buf(&mut answer).await.unwrap();
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.split_once("content-length: ").unwrap().1;
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        if body.len() == length {
            let body = serde_json::from_str(body).unwrap_or_default();
            return (head.to_owned(), body);
        }
    }
}

#[tokio::test]
async fn a_moved_clock_moves_the_server_and_leaves_its_connections_alone() {
    let clock = ManualClock::at(std::time::UNIX_EPOCH, 1);
    let mock = Mock::builder().env(clock.env()).build();
    mock.create_stream(&"s".parse().unwrap(), 1).unwrap();
    let server = mock.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    // Two connections outlive the move: one that was used, one that was not yet.
    let mut used = TcpStream::connect(server.local_addr()).await.unwrap();
    let mut unused = TcpStream::connect(server.local_addr()).await.unwrap();
    let record = json!({"StreamName": "s", "PartitionKey": "a", "Data": "MA=="});
    ask(&mut used, "PutRecord", record).await;
    let start = json!({
        "StreamName": "s", "ShardId": shard_id(0), "ShardIteratorType": "TRIM_HORIZON",
    });
    let (_, answer) = ask(&mut used, "GetShardIterator", start.clone()).await;
    let read = json!({"ShardIterator": answer["ShardIterator"]});
    let (_, answer) = ask(&mut used, "GetRecords", read.clone()).await;
    assert_eq!(answer["Records"].as_array().unwrap().len(), 1);
    clock.advance(6 * MINUTE);
    let (head, answer) = ask(&mut unused, "GetRecords", read).await;
    assert_eq!(answer["__type"], "ExpiredIteratorException");
    assert!(
        head.contains("date: Thu, 01 Jan 1970 00:06:00 GMT"),
        "{head}"
    );
    clock.advance(24 * 60 * MINUTE);
    let (_, answer) = ask(&mut used, "GetShardIterator", start).await;
    let read = json!({"ShardIterator": answer["ShardIterator"]});
    let (_, answer) = ask(&mut used, "GetRecords", read).await;
    assert_eq!(answer["Records"], json!([]));
    server.shutdown().await;
}
