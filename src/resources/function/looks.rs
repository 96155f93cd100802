//! What is done about each property of a function.

use super::super::watch::{HAND, Look, Usual, identity, ignored, ours, watched};

pub const LOOKS: &[Look] = &[
    Look {
        call: "lambda:GetFunction",
        root: "",
        properties: &[
            identity("Configuration.FunctionName", "it is found by"),
            identity("Configuration.FunctionArn", "follows from the name"),
            ours("Configuration.Runtime", "runtime", "what the code is built for"),
            ours("Configuration.Role", "role", "the rights of advent.toml"),
            ours("Configuration.Handler", "handler", "what every `up` sets"),
            ignored("Configuration.CodeSize", "follows from the code"),
            watched("Configuration.Description", Usual::Nothing, "a text for people"),
            ours("Configuration.Timeout", "timeout", "advent.toml says it"),
            ours("Configuration.MemorySize", "memory", "advent.toml says it"),
            identity("Configuration.LastModified", "compared with the date of its role only"),
            ours("Configuration.CodeSha256", "code", "what was built is what runs"),
            identity("Configuration.Version", "always the unpublished one"),
            watched("Configuration.VpcConfig", Usual::Nothing, HAND),
            watched("Configuration.DeadLetterConfig", Usual::Nothing, HAND),
            ours("Configuration.Environment.Variables", "environment", "advent.toml says them"),
            identity(
                "Configuration.Environment.Error",
                "an environment that cannot be read is said, and never written back",
            ),
            watched(
                "Configuration.KMSKeyArn",
                Usual::Nothing,
                "a key of one's own for the environment is often what an organisation demands",
            ),
            watched("Configuration.TracingConfig.Mode", Usual::Any(&["PassThrough"]), HAND),
            ignored("Configuration.MasterArn", "of functions at the edge only"),
            ignored("Configuration.RevisionId", "changes with every change of any other"),
            watched("Configuration.Layers", Usual::Nothing, HAND)
                .alarming("code of others runs with the function's rights"),
            identity("Configuration.State", "waited for"),
            ignored("Configuration.StateReason", "explains the state"),
            ignored("Configuration.StateReasonCode", "explains the state"),
            identity("Configuration.LastUpdateStatus", "waited for"),
            ignored("Configuration.LastUpdateStatusReason", "explains the state"),
            ignored("Configuration.LastUpdateStatusReasonCode", "explains the state"),
            watched("Configuration.FileSystemConfigs", Usual::Nothing, HAND),
            ignored("Configuration.SigningProfileVersionArn", "of signed code, and so of the code"),
            ignored("Configuration.SigningJobArn", "of signed code, and so of the code"),
            watched(
                "Configuration.PackageType",
                Usual::Any(&["Zip"]),
                "fixed when it was created, and its code differs then",
            ),
            watched("Configuration.ImageConfigResponse", Usual::Nothing, "of images only"),
            ours("Configuration.Architectures", "architecture", "what the code is built for"),
            watched("Configuration.EphemeralStorage.Size", Usual::Any(&["512"]), HAND),
            watched("Configuration.SnapStart.ApplyOn", Usual::Any(&["None"]), HAND),
            ignored("Configuration.SnapStart.OptimizationStatus", "follows from ApplyOn"),
            ignored("Configuration.RuntimeVersionConfig", "Lambda patches runtimes by itself"),
            watched("Configuration.LoggingConfig.LogFormat", Usual::Any(&["Text"]), HAND),
            watched("Configuration.LoggingConfig.ApplicationLogLevel", Usual::Nothing, HAND),
            watched("Configuration.LoggingConfig.SystemLogLevel", Usual::Nothing, HAND),
            watched(
                "Configuration.LoggingConfig.LogGroup",
                Usual::Any(&["/aws/lambda/{name}"]),
                HAND,
            )
            .alarming("`advent logs` does not see what it writes"),
            watched("Configuration.TenancyConfig", Usual::Nothing, "fixed when it was created"),
            watched("Configuration.CapacityProviderConfig", Usual::Nothing, HAND),
            ignored("Configuration.ConfigSha256", "follows from the others"),
            watched("Configuration.DurableConfig", Usual::Nothing, HAND),
            ignored("Code", "where a copy of the code can be had for ten minutes"),
            watched("Code.SourceKMSKeyArn", Usual::Nothing, "as KMSKeyArn, for the code"),
            ours("Tags", "tag ", "those of advent.toml; others belong to whoever set them"),
            identity("TagsError", "tags that cannot be read are an error"),
            watched(
                "Concurrency.ReservedConcurrentExecutions",
                Usual::Absent,
                "the emergency brake of an operator, who alone may release it",
            )
            .alarming_if("0", "nothing can invoke it"),
        ],
    },
    Look {
        call: "lambda:ListFunctionUrlConfigs",
        root: "FunctionUrlConfigs[]",
        properties: &[
            watched("FunctionUrl", Usual::Nothing, "a second entrance, with rights of its own"),
            watched("AuthType", Usual::Nothing, "who may come in")
                .alarming_if("NONE", "everybody may invoke it"),
            watched("Cors", Usual::Nothing, "whose pages may call it"),
            watched("InvokeMode", Usual::Any(&["BUFFERED"]), "how it answers"),
            ignored("FunctionArn", "follows from the name"),
            ignored("CreationTime", "says nothing of what is allowed"),
            ignored("LastModifiedTime", "says nothing of what is allowed"),
        ],
    },
];
