//! The configuration of a channel: read from CreateChannel and UpdateChannel, kept, and described.
//!
//! The structures are the API's own, with the defaults filled in.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ChannelDescription.html>

use serde::Serialize;

use super::channel_rules as rules;
use super::failure::Failure;
use super::input::Input;
use super::rules::Text;

/// Where nothing else is said.
const DEFAULT_FRESHNESS_SECONDS: i64 = 300;
const DEFAULT_STORAGE_CLASS: &str = "STANDARD";
const DEFAULT_ERROR_PREFIX: &str = "errors/";
const DEFAULT_LOG_STREAM: &str = "DestinationDelivery";

/// The service's own key, which must not encrypt what a channel delivers.
const SERVICE_KEY: &str = "alias/aws/kinesis";

/// What the service shows for each structure of a list that is too short or too long.
const SHOWN_TABLE: &str = "com.amazonaws.kinesis.v20131202.S3TablesConfiguration@1";
const SHOWN_FIELD: &str = "com.amazonaws.kinesis.v20131202.PartitionField@1";

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RecordConfiguration {
    record_format_type: String,
    #[serde(rename = "GSRSchemaARN", skip_serializing_if = "Option::is_none")]
    gsr_schema_arn: Option<String>,
}

impl RecordConfiguration {
    pub(super) fn read(input: &Input<'_>) -> Result<Self, Failure> {
        Ok(Self {
            record_format_type: required(input, "RecordFormatType", &rules::RECORD_FORMAT_TYPE)?,
            gsr_schema_arn: optional(input, "GSRSchemaARN", &rules::GSR_SCHEMA_ARN)?,
        })
    }
}

/// Where a channel delivers to: one of the two members of that name.
#[derive(Debug, Clone, Serialize)]
pub(super) enum Destination {
    #[serde(rename = "S3DestinationConfiguration")]
    S3(S3Destination),
    #[serde(rename = "S3TablesDestinationConfiguration")]
    S3Tables(S3TablesDestination),
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct S3Destination {
    data_freshness_in_seconds: i64,
    dead_letter_queue_s3_configuration: DeadLetterQueue,
    storage_configuration: Storage,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct S3TablesDestination {
    data_freshness_in_seconds: i64,
    dead_letter_queue_s3_configuration: DeadLetterQueue,
    s3_tables_configuration_list: Vec<Table>,
}

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DeadLetterQueue {
    #[serde(rename = "BucketARN")]
    bucket_arn: String,
    expected_bucket_owner: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_output_prefix: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Storage {
    #[serde(rename = "BucketARN")]
    bucket_arn: String,
    expected_bucket_owner: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_key_template: Option<String>,
    storage_class: String,
    compression_type: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Table {
    #[serde(rename = "TableBucketARN")]
    table_bucket_arn: String,
    namespace: String,
    table_name: String,
    compression_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_spec: Option<PartitionSpec>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PartitionSpec {
    partition_fields: Vec<PartitionField>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PartitionField {
    transform: String,
    source_name: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Encryption {
    encryption_type: String,
    key_id: String,
}

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Logging {
    cloud_watch_logs: CloudWatchLogs,
}

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CloudWatchLogs {
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_group_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_stream_name: Option<String>,
}

impl Destination {
    /// Both kinds as a request has them; one of them must be there, which
    /// [`Destination::one_of`] sees to.
    pub(super) fn read(input: &Input<'_>) -> Result<[Option<Self>; 2], Failure> {
        let s3 = input.structure("S3DestinationConfiguration")?;
        let s3 = s3.as_ref().map(S3Destination::read).transpose()?;
        let tables = input.structure("S3TablesDestinationConfiguration")?;
        let tables = tables.as_ref().map(S3TablesDestination::read).transpose()?;
        Ok([s3.map(Self::S3), tables.map(Self::S3Tables)])
    }

    /// The one that is there, if it suits the records.
    pub(super) fn one_of(
        read: [Option<Self>; 2],
        records: &RecordConfiguration,
    ) -> Result<Self, Failure> {
        let ([Some(destination), None] | [None, Some(destination)]) = read else {
            return Err(Failure::invalid_argument(
                "Either S3DestinationConfiguration or S3TablesDestinationConfiguration should be \
                 provided, but not both.",
            ));
        };
        let format = records.record_format_type.as_str();
        let suits = match &destination {
            Self::S3(_) => format != "GSR_JSON",
            Self::S3Tables(_) => matches!(format, "GSR_JSON" | "JSON"),
        };
        if !suits {
            return Err(Failure::invalid_argument(format!(
                "RecordFormatType {format} is not supported for destinations of type {}.",
                destination.kind()
            )));
        }
        if let Self::S3Tables(tables) = &destination {
            if records.gsr_schema_arn.is_none() {
                return Err(Failure::invalid_argument(
                    "GSRSchemaARN should be provided for destinations of type S3_TABLES.",
                ));
            }
            if tables.s3_tables_configuration_list.len() > 1 {
                return Err(Failure::invalid_argument(
                    "S3TablesConfigurationList cannot have more than 1 element.",
                ));
            }
        }
        Ok(destination)
    }

    /// The ChannelDestinationType.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::S3(_) => "S3",
            Self::S3Tables(_) => "S3_TABLES",
        }
    }

    pub(super) fn set_freshness(&mut self, seconds: i64) {
        *match self {
            Self::S3(s3) => &mut s3.data_freshness_in_seconds,
            Self::S3Tables(tables) => &mut tables.data_freshness_in_seconds,
        } = seconds;
    }
}

impl S3Destination {
    fn read(input: &Input<'_>) -> Result<Self, Failure> {
        let freshness = freshness(input)?;
        let queue = DeadLetterQueue::read(input)?;
        let storage = input.structure("StorageConfiguration")?;
        let storage = storage.as_ref().map(Storage::read).transpose()?;
        let storage = input.required("StorageConfiguration", storage);
        // The service's default: the same bucket under a prefix.
        let queue = queue.unwrap_or_else(|| DeadLetterQueue {
            bucket_arn: storage.bucket_arn.clone(),
            expected_bucket_owner: storage.expected_bucket_owner.clone(),
            error_output_prefix: Some(DEFAULT_ERROR_PREFIX.to_owned()),
        });
        Ok(Self {
            data_freshness_in_seconds: freshness.unwrap_or(DEFAULT_FRESHNESS_SECONDS),
            dead_letter_queue_s3_configuration: queue,
            storage_configuration: storage,
        })
    }
}

impl S3TablesDestination {
    fn read(input: &Input<'_>) -> Result<Self, Failure> {
        let freshness = freshness(input)?;
        let queue = DeadLetterQueue::read(input)?;
        let queue = input.required("DeadLetterQueueS3Configuration", queue);
        let mut tables = Vec::new();
        for table in
            input.required_structures("S3TablesConfigurationList", rules::LIST, SHOWN_TABLE)?
        {
            tables.push(Table::read(&table?)?);
        }
        Ok(Self {
            data_freshness_in_seconds: freshness.unwrap_or(DEFAULT_FRESHNESS_SECONDS),
            dead_letter_queue_s3_configuration: queue,
            s3_tables_configuration_list: tables,
        })
    }
}

impl DeadLetterQueue {
    fn read(input: &Input<'_>) -> Result<Option<Self>, Failure> {
        let Some(input) = input.structure("DeadLetterQueueS3Configuration")? else {
            return Ok(None);
        };
        let owner = &rules::EXPECTED_BUCKET_OWNER;
        Ok(Some(Self {
            bucket_arn: required(&input, "BucketARN", &rules::BUCKET_ARN)?,
            expected_bucket_owner: required(&input, "ExpectedBucketOwner", owner)?,
            error_output_prefix: optional(
                &input,
                "ErrorOutputPrefix",
                &rules::ERROR_OUTPUT_PREFIX,
            )?,
        }))
    }
}

impl Storage {
    fn read(input: &Input<'_>) -> Result<Self, Failure> {
        let owner = &rules::EXPECTED_BUCKET_OWNER;
        let template = &rules::OUTPUT_KEY_TEMPLATE;
        Ok(Self {
            bucket_arn: required(input, "BucketARN", &rules::BUCKET_ARN)?,
            expected_bucket_owner: required(input, "ExpectedBucketOwner", owner)?,
            output_key_template: optional(input, "OutputKeyTemplate", template)?,
            storage_class: optional(input, "StorageClass", &rules::STORAGE_CLASS)?
                .unwrap_or_else(|| DEFAULT_STORAGE_CLASS.to_owned()),
            compression_type: required(input, "CompressionType", &rules::S3_COMPRESSION_TYPE)?,
        })
    }
}

impl Table {
    fn read(input: &Input<'_>) -> Result<Self, Failure> {
        let compression = &rules::S3_TABLES_COMPRESSION_TYPE;
        let partition_spec = input.structure("PartitionSpec")?;
        Ok(Self {
            table_bucket_arn: required(input, "TableBucketARN", &rules::TABLE_BUCKET_ARN)?,
            namespace: required(input, "Namespace", &rules::TABLE_NAME)?,
            table_name: required(input, "TableName", &rules::TABLE_NAME)?,
            compression_type: required(input, "CompressionType", compression)?,
            partition_spec: partition_spec
                .as_ref()
                .map(PartitionSpec::read)
                .transpose()?,
        })
    }
}

impl PartitionSpec {
    fn read(input: &Input<'_>) -> Result<Self, Failure> {
        let mut partition_fields = Vec::new();
        let count = rules::PARTITION_FIELDS;
        for field in input.required_structures("PartitionFields", count, SHOWN_FIELD)? {
            let field = field?;
            let source = &rules::PARTITION_SOURCE_NAME;
            partition_fields.push(PartitionField {
                transform: required(&field, "Transform", &rules::PARTITION_TRANSFORM)?,
                source_name: required(&field, "SourceName", source)?,
            });
        }
        Ok(Self { partition_fields })
    }
}

impl Encryption {
    pub(super) fn read(input: &Input<'_>) -> Result<Option<Self>, Failure> {
        let Some(input) = input.structure("EncryptionConfiguration")? else {
            return Ok(None);
        };
        Ok(Some(Self {
            encryption_type: required(&input, "EncryptionType", &rules::ENCRYPTION_TYPE)?,
            key_id: required(&input, "KeyId", &rules::KEY_ID)?,
        }))
    }

    /// Refuses the service's own key.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.key_id.ends_with(SERVICE_KEY) {
            return Err(Failure::invalid_argument(format!(
                "The key {} cannot be used for a channel.",
                self.key_id
            )));
        }
        Ok(())
    }
}

impl Logging {
    pub(super) fn read(input: &Input<'_>) -> Result<Option<Self>, Failure> {
        let Some(input) = input.structure("LoggingConfiguration")? else {
            return Ok(None);
        };
        let logs = input.structure("CloudWatchLogs")?;
        let logs = logs.as_ref().map(CloudWatchLogs::read).transpose()?;
        Ok(Some(Self {
            cloud_watch_logs: input.required("CloudWatchLogs", logs),
        }))
    }

    /// Fills in what the service names where logging is on and nothing was named.
    pub(super) fn complete(mut self, channel: &str, id: &str) -> Self {
        let logs = &mut self.cloud_watch_logs;
        if logs.enabled {
            logs.log_group_name
                .get_or_insert_with(|| format!("/aws/kinesis/{channel}/{id}"));
            logs.log_stream_name
                .get_or_insert_with(|| DEFAULT_LOG_STREAM.to_owned());
        }
        self
    }
}

impl CloudWatchLogs {
    fn read(input: &Input<'_>) -> Result<Self, Failure> {
        let enabled = input.boolean("Enabled")?;
        Ok(Self {
            enabled: input.required("Enabled", enabled),
            log_group_name: optional(input, "LogGroupName", &rules::LOG_GROUP_NAME)?,
            log_stream_name: optional(input, "LogStreamName", &rules::LOG_STREAM_NAME)?,
        })
    }
}

/// The DataFreshnessInSeconds, which the model does not bound.
pub(super) fn freshness(input: &Input<'_>) -> Result<Option<i64>, Failure> {
    input.integer("DataFreshnessInSeconds", i64::MIN, i64::MAX)
}

fn required(input: &Input<'_>, name: &'static str, rule: &Text) -> Result<String, Failure> {
    input.required_text(name, rule).map(str::to_owned)
}

fn optional(input: &Input<'_>, name: &'static str, rule: &Text) -> Result<Option<String>, Failure> {
    Ok(input.text(name, rule)?.map(str::to_owned))
}
