//! Which members of a request to DynamoDB count: a row for each operation.

/// What an operation is about: where it says so, and how.
pub enum About {
    /// No table in particular.
    All,
    /// The table in `TableName`.
    Table,
    /// The table of the ARN in `ResourceArn`.
    Tagged,
    /// The stream of the ARN in `StreamArn`.
    Stream,
    /// The stream that `ShardIterator` was made for.
    Iterator,
    /// Items of the table, or of the index in `IndexName`.
    Items(Form),
    /// Items of the tables that are the names of `RequestItems`.
    Batch(Form),
    /// A list of objects in `TransactItems`, each with one of these.
    Transaction(&'static [(&'static str, &'static str, Form)]),
    Statement,
    /// A list of objects in this member.
    Statements(&'static str),
}

/// The members of a request that count. The engine passes over all others.
#[derive(Clone, Copy)]
pub struct Form {
    pub keys: Keys,
    /// Objects whose members are named after attributes.
    pub named: &'static [&'static str],
    pub expressions: &'static [&'static str],
    /// What else counts: `AttributesToGet`, `IndexName`, `Select`, `ReturnValues`.
    pub also: &'static [&'static str],
}

/// Where the items' keys are.
#[derive(Clone, Copy)]
pub enum Keys {
    /// That of the one item, in this member.
    One(&'static str),
    /// In the list `Keys`.
    Many,
    /// In a list of `PutRequest`s and `DeleteRequest`s.
    Writes,
    /// In the conditions of a query.
    Query,
    /// Nowhere: all items are meant.
    Nowhere,
}

pub const GET: Form = Form {
    keys: Keys::One("Key"),
    named: &["Key"],
    expressions: &["ProjectionExpression"],
    also: &["AttributesToGet"],
};
const PUT: Form = Form {
    keys: Keys::One("Item"),
    named: &["Item", "Expected"],
    expressions: &["ConditionExpression"],
    also: &["ReturnValues"],
};
pub const UPDATE: Form = Form {
    keys: Keys::One("Key"),
    named: &["Key", "AttributeUpdates", "Expected"],
    expressions: &["UpdateExpression", "ConditionExpression"],
    also: &["ReturnValues"],
};
const DELETE: Form = Form { named: &["Key", "Expected"], ..CHECK };
const CHECK: Form = Form {
    keys: Keys::One("Key"),
    named: &["Key"],
    expressions: &["ConditionExpression"],
    also: &["ReturnValues"],
};
const QUERY: Form = Form {
    keys: Keys::Query,
    named: &["KeyConditions", "QueryFilter"],
    expressions: &["KeyConditionExpression", "FilterExpression", "ProjectionExpression"],
    also: &["AttributesToGet", "IndexName", "Select"],
};
const SCAN: Form = Form {
    keys: Keys::Nowhere,
    named: &["ScanFilter"],
    expressions: &["FilterExpression", "ProjectionExpression"],
    also: &["AttributesToGet", "IndexName", "Select"],
};
const BATCH_GET: Form = Form { keys: Keys::Many, named: &[], ..GET };
const BATCH_WRITE: Form = Form { keys: Keys::Writes, named: &[], expressions: &[], also: &[] };

/// What is read or written in a transaction has no members of old.
const WRITES: &[(&str, &str, Form)] = &[
    ("Put", "PutItem", Form { named: &["Item"], also: &[], ..PUT }),
    ("Update", "UpdateItem", Form { named: &["Key"], also: &[], ..UPDATE }),
    ("Delete", "DeleteItem", Form { also: &[], ..CHECK }),
    ("ConditionCheck", "ConditionCheckItem", Form { also: &[], ..CHECK }),
];
const READS: &[(&str, &str, Form)] = &[("Get", "GetItem", Form { also: &[], ..GET })];

/// `None` for an operation that nobody has written down here: it is about everything.
pub fn about(operation: &str) -> Option<About> {
    Some(match operation {
        "ListTables" | "ListStreams" => About::All,
        "CreateTable"
        | "DeleteTable"
        | "DescribeTable"
        | "UpdateTable"
        | "UpdateTimeToLive"
        | "DescribeTimeToLive"
        | "DescribeContinuousBackups" => About::Table,
        "TagResource" | "UntagResource" | "ListTagsOfResource" | "GetResourcePolicy" => {
            About::Tagged
        }
        "DescribeStream" | "GetShardIterator" => About::Stream,
        "GetRecords" => About::Iterator,
        "GetItem" => About::Items(GET),
        "PutItem" => About::Items(PUT),
        "UpdateItem" => About::Items(UPDATE),
        "DeleteItem" => About::Items(DELETE),
        "Query" => About::Items(QUERY),
        "Scan" => About::Items(SCAN),
        "BatchGetItem" => About::Batch(BATCH_GET),
        "BatchWriteItem" => About::Batch(BATCH_WRITE),
        "TransactWriteItems" => About::Transaction(WRITES),
        "TransactGetItems" => About::Transaction(READS),
        "ExecuteStatement" => About::Statement,
        "BatchExecuteStatement" => About::Statements("Statements"),
        "ExecuteTransaction" => About::Statements("TransactStatements"),
        _ => return None,
    })
}
