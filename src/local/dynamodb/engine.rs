//! The engine's operations, JSON to JSON.

use dynoxide::{Database, DynoxideError};

/// One operation of the engine, JSON to JSON.
pub fn run(engine: &Database, operation: &str, body: &str) -> Result<String, DynoxideError> {
    macro_rules! operations {
        ($($name:literal => $method:ident,)*) => {
            match operation {
                $($name => {
                    let request = serde_json::from_str(body)
                        .map_err(|error| enveloped(operation, unreadable(&error)))?;
                    let answer = engine.$method(request).map_err(|error| enveloped(operation, error))?;
                    serde_json::to_string(&answer)
                        .map_err(|error| DynoxideError::InternalServerError(error.to_string()))
                })*
                _ => Err(DynoxideError::UnsupportedCapability(operation.to_owned())),
            }
        };
    }
    operations! {
        "CreateTable" => create_table,
        "DeleteTable" => delete_table,
        "DescribeTable" => describe_table,
        "ListTables" => list_tables,
        "UpdateTable" => update_table,
        "PutItem" => put_item,
        "GetItem" => get_item,
        "DeleteItem" => delete_item,
        "UpdateItem" => update_item,
        "Query" => query,
        "Scan" => scan,
        "BatchGetItem" => batch_get_item,
        "BatchWriteItem" => batch_write_item,
        "TransactWriteItems" => transact_write_items,
        "TransactGetItems" => transact_get_items,
        "ListStreams" => list_streams,
        "DescribeStream" => describe_stream,
        "GetShardIterator" => get_shard_iterator,
        "GetRecords" => get_records,
        "UpdateTimeToLive" => update_time_to_live,
        "DescribeTimeToLive" => describe_time_to_live,
        "ExecuteStatement" => execute_statement,
        "ExecuteTransaction" => execute_transaction,
        "BatchExecuteStatement" => batch_execute_statement,
        "TagResource" => tag_resource,
        "UntagResource" => untag_resource,
        "ListTagsOfResource" => list_tags_of_resource,
    }
}

/// These three operations put some of their refusals into an envelope; the engine leaves that to
/// its HTTP server.
fn enveloped(operation: &str, error: DynoxideError) -> DynoxideError {
    match error {
        DynoxideError::EnvelopedValidation(message)
            if matches!(operation, "PutItem" | "UpdateItem" | "DeleteItem") =>
        {
            DynoxideError::ValidationException(format!("1 validation error detected: {message}"))
        }
        other => other,
    }
}

/// Why a request could not be read. The engine marks its own refusals among serde's errors.
fn unreadable(error: &serde_json::Error) -> DynoxideError {
    let text = error.to_string();
    let unplaced = text.rfind(" at line ").map_or(text.as_str(), |place| &text[..place]);
    let marked = |marker: &str| unplaced.strip_prefix(marker).map(ToOwned::to_owned);
    if let Some(message) = marked("VALIDATION_REQUEST:") {
        DynoxideError::EnvelopedValidation(message)
    } else if let Some(message) = marked("VALIDATION:").or_else(|| marked("VALIDATION_AS_READ:")) {
        DynoxideError::ValidationException(message)
    } else if let Some(message) =
        marked("SERIALIZATION:").or_else(|| marked("SERIALIZATION_AS_READ:"))
    {
        DynoxideError::SerializationException(message)
    } else if ["missing field", "unknown variant", "invalid type: null", "AttributeValue"]
        .iter()
        .any(|known| unplaced.contains(known))
    {
        DynoxideError::ValidationException(unplaced.to_owned())
    } else {
        DynoxideError::SerializationException(unplaced.to_owned())
    }
}
