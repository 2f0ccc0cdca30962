//! Every constraint and every type of the API model, broken alone and two at a time.
//!
//! `model.json` is an excerpt of the service's API model as botocore ships it. Where its newest
//! version forgives what an older one refuses, the older one counts. What is broken where is
//! derived from it, and so are the texts.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use crate::support::World;

#[derive(Deserialize)]
struct Model {
    operations: BTreeMap<String, String>,
    shapes: BTreeMap<String, Shape>,
}

#[derive(Deserialize)]
struct Shape {
    #[serde(rename = "type")]
    kind: String,
    min: Option<i64>,
    max: Option<i64>,
    pattern: Option<String>,
    #[serde(rename = "enum", default)]
    values: Vec<String>,
    #[serde(default)]
    required: Vec<String>,
    /// Names and shapes, in the model's order.
    #[serde(default)]
    members: Vec<(String, String)>,
    member: Option<String>,
    key: Option<String>,
    value: Option<String>,
}

/// One member made wrong: where, by which value (none: left out), and how it is reported.
#[derive(Clone)]
struct Break {
    path: Vec<String>,
    value: Option<Value>,
    told: Vec<String>,
}

impl Break {
    fn is_bulky(&self) -> bool {
        let items = self.value.as_ref().and_then(Value::as_array);
        items.is_some_and(|items| items.len() > 1000)
    }
}

impl Model {
    fn read() -> Self {
        serde_json::from_str(include_str!("model.json")).unwrap()
    }

    fn shape(&self, name: &str) -> &Shape {
        &self.shapes[name]
    }

    /// A value that breaks nothing, with every structure that may be there.
    fn good(&self, name: &str, shape: &Shape) -> Value {
        match shape.kind.as_str() {
            "structure" => {
                let is_there = |(name, member): &&(String, String)| {
                    shape.required.contains(name) || self.shape(member).kind == "structure"
                };
                let members = shape.members.iter().filter(is_there);
                members
                    .map(|(name, shape)| (name.clone(), self.good(name, self.shape(shape))))
                    .collect()
            }
            "list" => json!([self.good(name, self.shape(shape.member.as_ref().unwrap()))]),
            "map" => json!({"a": "b"}),
            "integer" | "long" | "timestamp" => json!(shape.min.unwrap_or(1)),
            "boolean" => json!(true),
            "blob" => json!("YQ=="),
            _ if !shape.values.is_empty() => json!(shape.values[0]),
            _ if name == "ServiceExecutionRoleARN" => json!("arn:aws:iam::000000000000:role/r"),
            _ if name == "GSRSchemaARN" => {
                json!("arn:aws:glue:us-east-1:000000000000:schema/registry/name")
            }
            _ if name == "BucketARN" => json!("arn:aws:s3:::bucket"),
            _ if name == "TableBucketARN" => {
                json!("arn:aws:s3tables:us-east-1:000000000000:bucket/tables")
            }
            _ if name == "ChannelARN" => json!("arn:aws:kinesis:us-east-1:000000000000:channel/c"),
            _ if name == "ExpectedBucketOwner" => json!("000000000000"),
            _ if name == "ConsumerARN" => json!(format!("{ARN}/consumer/c:1")),
            _ if name.ends_with("ARN") => json!(ARN),
            _ if name == "StreamId" => json!("abcdefghij0123456789-x1z"),
            _ => json!("1"),
        }
    }

    /// Every way to break a constraint at or below a member, in the model's order.
    fn breaks(&self, path: &[String], name: &str, shape: &Shape, required: bool) -> Vec<Break> {
        let dotted = dotted(path);
        let must =
            |must: &str| format!("at '{dotted}' failed to satisfy constraint: Member must {must}");
        let broken = |value: Value, told: Vec<String>| Break {
            path: path.to_vec(),
            value: Some(value),
            told,
        };
        let mut breaks = Vec::new();
        if required {
            breaks.push(Break {
                path: path.to_vec(),
                value: None,
                told: vec![must("not be null")],
            });
        }
        let length_min = must(&format!(
            "have length greater than or equal to {}",
            shape.min.unwrap_or_default()
        ));
        let length_max = must(&format!(
            "have length less than or equal to {}",
            shape.max.unwrap_or_default()
        ));
        let too_many = usize::try_from(shape.max.unwrap_or_default() + 1).unwrap();
        match shape.kind.as_str() {
            "structure" => breaks.extend(self.breaks_within(path, shape)),
            "string" => {
                let pattern = shape
                    .pattern
                    .as_ref()
                    .map(|pattern| must(&format!("satisfy regular expression pattern: {pattern}")));
                if let Some(pattern) = &pattern {
                    breaks.push(broken(json!("!bad: value!"), vec![pattern.clone()]));
                }
                if shape.min > Some(0) {
                    let fits_the_pattern = name == "LogStreamName";
                    let pattern = pattern.iter().filter(|_| !fits_the_pattern);
                    let told = pattern.cloned().chain([length_min]);
                    breaks.push(broken(json!(""), told.collect()));
                }
                if shape.max.is_some_and(|max| max < 5000) {
                    let good = self.good(name, shape);
                    let long = format!("{}{}", good.as_str().unwrap(), "1".repeat(too_many));
                    let patterns_with_a_length = [
                        "StreamId",
                        "BucketARN",
                        "TableBucketARN",
                        "ExpectedBucketOwner",
                    ];
                    let fits_the_pattern = !patterns_with_a_length.contains(&name);
                    let told = pattern.filter(|_| !fits_the_pattern).into_iter();
                    breaks.push(broken(json!(long), told.chain([length_max]).collect()));
                }
                if !shape.values.is_empty() {
                    let set = shape.values.join(", ");
                    let told = must(&format!("satisfy enum value set: [{set}]"));
                    breaks.push(broken(json!("NOPE"), vec![told]));
                }
            }
            "integer" => {
                if let Some(min) = shape.min {
                    let told = must(&format!("have value greater than or equal to {min}"));
                    breaks.push(broken(json!(min - 1), vec![told]));
                }
                if let Some(max) = shape.max {
                    let told = must(&format!("have value less than or equal to {max}"));
                    breaks.push(broken(json!(max + 1), vec![told]));
                }
            }
            "list" => {
                let item = self.shape(shape.member.as_ref().unwrap());
                let good = self.good(name, item);
                breaks.push(broken(json!([]), vec![length_min]));
                breaks.push(broken(json!(vec![good; too_many]), vec![length_max]));
                if item.kind == "structure" {
                    breaks.extend(self.breaks_within(&below(path, "0"), item));
                } else {
                    let wrong = if item.values.is_empty() { "" } else { "NOPE" };
                    let told = must(&format!("satisfy constraint: {}", item.as_item()));
                    breaks.push(broken(json!([wrong]), vec![told]));
                }
            }
            "map" => {
                breaks.push(broken(json!({}), vec![length_min]));
                let many: Map<_, _> = (0..too_many).map(|n| (n.to_string(), json!(""))).collect();
                breaks.push(broken(Value::Object(many), vec![length_max]));
                for (what, part, value) in [
                    ("Map keys", &shape.key, json!({"": "v"})),
                    ("Map value", &shape.value, json!({"k": "v".repeat(257)})),
                ] {
                    let part = self.shape(part.as_ref().unwrap()).as_item();
                    let told = format!("{what} must satisfy constraint: {part}");
                    breaks.push(broken(value, vec![told]));
                }
            }
            _ => {}
        }
        breaks
    }

    fn breaks_within(&self, path: &[String], shape: &Shape) -> Vec<Break> {
        let members = shape.members.iter();
        members
            .flat_map(|(name, member)| {
                let required = shape.required.contains(name);
                self.breaks(&below(path, name), name, self.shape(member), required)
            })
            .collect()
    }

    /// Every place in a structure and a value of another type for it.
    fn wrong_types(&self, path: &[String], shape: &Shape) -> Vec<(Vec<String>, Value)> {
        let wrong: &[Value] = match shape.kind.as_str() {
            "string" => &[json!(5), json!(true), json!([]), json!({})],
            "integer" | "long" => &[json!("5"), json!(true), json!([]), json!({})],
            "boolean" => &[json!("x"), json!(5), json!([]), json!({})],
            "timestamp" => &[json!("x"), json!(true), json!([]), json!({})],
            "blob" => &[json!(5), json!(true), json!("a"), json!([]), json!({})],
            "list" => &[json!("x"), json!(5), json!(true), json!({})],
            _ => &[json!("x"), json!(5), json!(true), json!([])],
        };
        let mut places: Vec<_> = wrong.iter().map(|w| (path.to_vec(), w.clone())).collect();
        for (name, member) in &shape.members {
            places.extend(self.wrong_types(&below(path, name), self.shape(member)));
        }
        if let Some(item) = &shape.member {
            places.extend(self.wrong_types(&below(path, "0"), self.shape(item)));
        }
        if let Some(value) = &shape.value {
            places.extend(self.wrong_types(&below(path, "k"), self.shape(value)));
        }
        places
    }
}

impl Shape {
    /// How the items of a list or map are reported.
    fn as_item(&self) -> String {
        if self.values.is_empty() {
            format!(
                "[Member must have length less than or equal to {}, Member must have length \
                 greater than or equal to {}]",
                self.max.unwrap(),
                self.min.unwrap_or_default()
            )
        } else {
            format!(
                "[Member must satisfy enum value set: [{}]]",
                self.values.join(", ")
            )
        }
    }
}

const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/s";

fn below(path: &[String], name: &str) -> Vec<String> {
    path.iter().cloned().chain([name.to_owned()]).collect()
}

/// As the service writes a path: `records.1.member.partitionKey`.
fn dotted(path: &[String]) -> String {
    let parts = path.iter().map(|part| match part.as_str() {
        "0" => "1.member".to_owned(),
        part => part[..1].to_lowercase() + &part[1..],
    });
    parts.collect::<Vec<_>>().join(".")
}

/// Puts a value at a place, or takes away what is there.
fn set(body: &mut Value, path: &[String], value: Option<&Value>) {
    let (last, way) = path.split_last().unwrap();
    let mut at = body;
    for (part, next) in way.iter().zip(&path[1..]) {
        let empty = if next == "0" { json!([{}]) } else { json!({}) };
        at = match part.as_str() {
            "0" => &mut at[0],
            part => at.as_object_mut().unwrap().entry(part).or_insert(empty),
        };
    }
    match (last.as_str(), value) {
        ("0", value) => at[0] = value.cloned().unwrap_or_default(),
        (last, Some(value)) => at[last] = value.clone(),
        (last, None) => {
            at.as_object_mut().unwrap().remove(last);
        }
    }
}

/// Sends a request in which those are broken and nothing else.
async fn check(world: &World, operation: &str, good: &Value, breaks: &[&Break]) {
    let mut body = good.clone();
    for broken in breaks {
        set(&mut body, &broken.path, broken.value.as_ref());
    }
    let (kind, message) = world.client.refused(operation, body.clone()).await;
    assert_eq!(kind, "ValidationException", "{operation} {body}: {message}");
    let expected: Vec<&String> = breaks.iter().flat_map(|broken| &broken.told).collect();
    let errors = if expected.len() == 1 {
        "error"
    } else {
        "errors"
    };
    let head = format!("{} validation {errors} detected: Value ", expected.len());
    let rest = message.strip_prefix(&head).unwrap_or_default();
    let parts: Vec<&str> = rest.split("; Value ").collect();
    let as_expected = parts.len() == expected.len()
        && parts
            .iter()
            .zip(&expected)
            .all(|(part, expected)| part.ends_with(expected.as_str()));
    assert!(as_expected, "{operation} {body}: {message}\n{expected:#?}");
}

#[tokio::test(start_paused = true)]
async fn each_constraint_of_the_model_is_told_alone_and_with_another() {
    let (world, model) = (World::new(), Model::read());
    world.client.create("s", 2).await;
    for (operation, input) in &model.operations {
        let shape = model.shape(input);
        let good = model.good(input, shape);
        let breaks = model.breaks_within(&[], shape);
        for (index, first) in breaks.iter().enumerate() {
            check(&world, operation, &good, &[first]).await;
            // Ten thousand structures are reported alone: with every other break they take half a
            // minute.
            if first.is_bulky() {
                continue;
            }
            let others = breaks[index + 1..].iter().filter(|other| !other.is_bulky());
            let apart = others.filter(|second| {
                !first.path.starts_with(&second.path) && !second.path.starts_with(&first.path)
            });
            for second in apart {
                check(&world, operation, &good, &[first, second]).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_wrong_type_is_told_before_any_constraint() {
    let (world, model) = (World::new(), Model::read());
    for (operation, input) in &model.operations {
        let shape = model.shape(input);
        for (path, value) in model.wrong_types(&[], shape) {
            if path.is_empty() {
                continue;
            }
            // Required members are missing, but the type is reported.
            let mut body = json!({});
            set(&mut body, &path, Some(&value));
            let (kind, message) = world.client.refused(operation, body.clone()).await;
            assert_eq!(kind, "SerializationException", "{operation} {body}");
            assert!(!message.is_empty(), "{operation} {body}");
        }
    }
}
