//! Which errors pass by waiting: as services word them, and what only looks like it.

use super::*;

/// Whether any call that fails so is tried again for a while.
fn waits(status: u16, code: &str, message: &str) -> bool {
    let error = ApiError { status: Some(status), ..ApiError::within("s:Put", "t", code, message) };
    error.is_throttling() || error.is_fault() || BUSY.iter().any(|wait| error.matches(wait))
}

#[test]
fn what_passes_is_waited_for() {
    for (status, code, message) in [
        (
            400,
            "LimitExceededException",
            "Subscriber limit exceeded: Only 500 tables can be created, updated, or deleted \
             simultaneously",
        ),
        (
            400,
            "LimitExceededException",
            "Subscriber limit exceeded: You have exceeded the maximum number of indexed tables \
             that can be created simultaneously",
        ),
        (400, "LimitExceededException", "Tags of the table are being updated"),
        (
            400,
            "ThrottlingException",
            "The rate of control plane requests made by this account is too high",
        ),
        (400, "Throttling", "Rate exceeded"),
        (409, "ConcurrentModification", "The request was rejected because of another change"),
        (409, "EntityTemporarilyUnmodifiable", "The entity is being changed. Try again later"),
        (429, "TooManyRequestsException", "Too Many Requests"),
        (429, "TooManyRequestsException", "Rate exceeded"),
        (409, "ConflictException", "Unable to complete operation. Please try again later."),
        (
            409,
            "ResourceConflictException",
            "The operation cannot be performed at this time. An update is in progress for resource",
        ),
        (400, "OperationAbortedException", "A conflicting operation is currently in progress"),
        (400, "StaleTag", "A tag has been added to a resource with the same ARN"),
        (400, "ConcurrentAccess", "Can't perform multiple operations on a tag"),
        (429, "Throttled", "Rate exceeded"),
        (503, "ServiceUnavailable", ""),
        // By the code, whatever the status.
        (400, "ServiceUnavailable", ""),
        (400, "InternalFailure", ""),
        (403, "RequestLimitExceeded", ""),
        (500, "ThrottlingException", ""),
        (503, "Throttling", ""),
        (400, "KMSThrottlingException", "Rate exceeded"),
        (502, "EC2ThrottledException", ""),
    ] {
        assert!(waits(status, code, message), "{code}: {message}");
    }
}

#[test]
fn a_quota_that_is_used_up_is_final() {
    for (status, code, message) in [
        (
            400,
            "LimitExceededException",
            "Subscriber limit exceeded: There is a limit of 2500 tables per subscriber",
        ),
        (400, "LimitExceededException", "Resource limit exceeded."),
        (409, "LimitExceeded", "Cannot exceed quota for RolesPerAccount: 1000"),
        (409, "LimitExceeded", "Maximum policy size of 10240 bytes exceeded for role r"),
        (
            429,
            "LimitExceededException",
            "Maximum number of Resources for this API has been reached.",
        ),
        (
            429,
            "ConflictException",
            "Maximum number of Authorizers for this API has been reached. Please contact AWS if \
             you need additional Authorizers.",
        ),
        (
            429,
            "TooManyRequestsException",
            "Maximum number of APIs for this account has been reached.",
        ),
        (400, "CodeStorageExceededException", "Code storage limit exceeded."),
        (
            400,
            "PolicyLengthExceededException",
            "The final policy size (20550) is bigger than 20480",
        ),
        (403, "TopicLimitExceeded", "Number of allowed topics for this account exceeded"),
        (403, "SubscriptionLimitExceeded", "Number of subscriptions exceeded"),
        (403, "FilterPolicyLimitExceeded", "Filter policy limit of 200 per topic exceeded"),
        (400, "TagLimitExceeded", "Could not complete request: tag quota of per resource exceeded"),
        (
            409,
            "ResourceConflictException",
            "The operation cannot be performed at this time. The function is currently in the \
             following state: Failed",
        ),
        (409, "ResourceConflictException", "The statement id (update) provided already exists."),
        (409, "ConflictException", "Route with key GET /try-again already exists for this API"),
    ] {
        assert!(!waits(status, code, message), "{code}: {message}");
    }
}
