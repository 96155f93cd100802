//! Finding, starting and stopping the local cloud in the background, in processes of their own.
//!
//! Without the test harness: `ensure` starts this very executable again as
//! `local start --json --dir DIR`.
#![expect(clippy::unwrap_used, reason = "a test")]
#![expect(clippy::print_stdout, reason = "a test without the harness reports by itself")]

use std::path::{Path, PathBuf};

use advent::failure::Failure;
use advent::local;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let [command, start, json, dir, path] =
        arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
        && [command, start, json, dir] == ["local", "start", "--json", "--dir"]
    {
        let port = std::env::var("LOCAL_TEST_PORT").ok().map(|port| port.parse().unwrap());
        if let Err(error) = runtime.block_on(local::serve(Path::new(path), port, |_| {})) {
            println!("{}", serde_json::json!({ "error": { "message": format!("{error:#}") } }));
            std::process::exit(1);
        }
        return;
    }
    if let [command, path] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
        && command == "ensure"
    {
        let running = runtime.block_on(local::ensure(Path::new(path))).unwrap();
        println!("{}", running.pid);
        return;
    }
    if arguments.iter().any(|argument| argument == "--list") {
        return;
    }
    runtime.block_on(async {
        one_for_two_at_once().await;
        state_survives_a_kill().await;
        Box::pin(accepted_events_survive_a_kill()).await;
        the_port_is_kept().await;
        a_second_one_is_refused().await;
        a_taken_port_is_a_failure().await;
        a_folder_that_cannot_be_written_is_a_failure().await;
        leftovers_of_another_are_not_believed().await;
        one_that_does_not_answer_is_ended().await;
        one_without_a_key_is_replaced().await;
        a_stranger_on_its_port_is_not_believed().await;
        it_ends_with_its_folder().await;
        it_is_stopped_whatever_is_left_of_its_folder().await;
        why_it_did_not_start_is_said().await;
        a_full_disk_is_said().await;
        a_new_build_takes_over();
    });
    println!("local_lifecycle: ok");
}

/// A folder whose local cloud is stopped at the end.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("local")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let path = self.path();
        let stop = async move { drop(local::stop(&path).await) };
        std::thread::spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(stop))
            .join()
            .unwrap();
    }
}

fn signal(name: &str, pid: u32) {
    assert!(
        std::process::Command::new("kill")
            .args([name, &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

fn config(running: &local::Running) -> aws_config::SdkConfig {
    let local::Key { access_key_id, secret_access_key } = running.key.clone();
    let credentials = aws_credential_types::Credentials::new(
        access_key_id,
        secret_access_key,
        None,
        None,
        "test",
    );
    aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(aws_config::Region::new(local::REGION))
        .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(
            credentials,
        ))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(&running.url)
        .build()
}

async fn create_group(running: &local::Running, name: &str) {
    let client = aws_sdk_cloudwatchlogs::Client::new(&config(running));
    client.create_log_group().log_group_name(name).send().await.unwrap();
}

/// A function that writes the events it gets to a file, one each half second, subscribed to a topic.
async fn create_recorder(running: &local::Running, record: &Path) -> String {
    let config = config(running);
    let statement = |what: &str| {
        format!(r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", {what}}}]}}"#)
    };
    let trust = r#""Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole""#;
    let iam = aws_sdk_iam::Client::new(&config);
    let role = iam.create_role().role_name("r").assume_role_policy_document(statement(trust));
    let role = role.send().await.unwrap().role.unwrap().arn;

    let bootstrap = format!(
        "#!/bin/sh\nwhile :; do\n\
         api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation\n\
         curl -s -D head$$ -o event$$ $api/next || exit 1\n\
         sleep 0.5; cat event$$ >> {}; echo >> {}\n\
         id=$(grep -i request-id head$$ | tr -d '\\r' | cut -d' ' -f2)\n\
         curl -s -o /dev/null -d '{{}}' $api/$id/response\ndone\n",
        record.display(),
        record.display()
    );
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("bootstrap", zip::write::SimpleFileOptions::default().unix_permissions(0o755))
        .unwrap();
    std::io::Write::write_all(&mut zip, bootstrap.as_bytes()).unwrap();
    let zip = aws_sdk_lambda::primitives::Blob::new(zip.finish().unwrap().into_inner());
    let lambda = aws_sdk_lambda::Client::new(&config);
    let code = aws_sdk_lambda::types::FunctionCode::builder().zip_file(zip).build();
    let function = lambda.create_function().function_name("f").role(role).code(code);
    let function = function.runtime("provided.al2023".into()).handler("bootstrap").timeout(30);
    let function = function.send().await.unwrap().function_arn.unwrap();

    let sns = aws_sdk_sns::Client::new(&config);
    let topic = sns.create_topic().name("t").send().await.unwrap().topic_arn.unwrap();
    let subscribe = sns.subscribe().topic_arn(&topic).protocol("lambda").endpoint(&function);
    subscribe.send().await.unwrap();
    let permission = lambda.add_permission().function_name("f").statement_id("s");
    let permission = permission.action("lambda:InvokeFunction").principal("sns.amazonaws.com");
    permission.source_arn(&topic).send().await.unwrap();
    topic
}

/// What was accepted comes in the end, however often the local cloud is killed on the way.
async fn accepted_events_survive_a_kill() {
    const MESSAGES: usize = 30;
    let folder = Folder::new();
    let dir = folder.path();
    let record = folder.0.path().join("record");
    let mut running = local::ensure(&dir).await.unwrap();
    let topic = Box::pin(create_recorder(&running, &record)).await;
    for number in 0..MESSAGES {
        let sns = aws_sdk_sns::Client::new(&config(&running));
        sns.publish().topic_arn(&topic).message(format!("<{number}>")).send().await.unwrap();
        // At once after the answer, and in the middle of deliveries.
        if number % 10 == 9 {
            signal("-KILL", running.pid);
            running = local::ensure(&dir).await.unwrap();
        }
    }
    let patience = std::time::Instant::now() + std::time::Duration::from_mins(1);
    loop {
        let text = std::fs::read_to_string(&record).unwrap_or_default();
        let missing: Vec<_> =
            (0..MESSAGES).filter(|number| !text.contains(&format!("<{number}>"))).collect();
        if missing.is_empty() {
            return;
        }
        assert!(std::time::Instant::now() < patience, "never delivered: {missing:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn one_for_two_at_once() {
    let folder = Folder::new();
    let dir = folder.path();
    assert!(local::find(&dir).await.unwrap().is_none());
    assert!(!local::stop(&dir).await.unwrap());
    let (a, b, c) = tokio::join!(local::ensure(&dir), local::ensure(&dir), local::ensure(&dir));
    let all = [a.unwrap(), b.unwrap(), c.unwrap()];
    assert_eq!(all.iter().filter(|running| running.started).count(), 1);
    assert!(all.iter().all(|running| running.pid == all[0].pid && running.url == all[0].url));
    assert!(local::is_empty(&all[0]).await.unwrap());
    assert!(local::stop(&dir).await.unwrap());
    assert!(local::find(&dir).await.unwrap().is_none());
}

async fn state_survives_a_kill() {
    let folder = Folder::new();
    let dir = folder.path();
    let first = local::ensure(&dir).await.unwrap();
    create_group(&first, "/kept").await;
    signal("-KILL", first.pid);
    let second = local::ensure(&dir).await.unwrap();
    assert!(second.started);
    assert_ne!(first.pid, second.pid);
    assert!(!local::is_empty(&second).await.unwrap());
}

async fn the_port_is_kept() {
    let folder = Folder::new();
    let first = local::ensure(&folder.path()).await.unwrap();
    local::stop(&folder.path()).await.unwrap();
    let second = local::ensure(&folder.path()).await.unwrap();
    assert_eq!(first.url, second.url);
}

async fn a_second_one_is_refused() {
    let folder = Folder::new();
    let running = local::ensure(&folder.path()).await.unwrap();
    let error = local::serve(&folder.path(), None, |_| {}).await.unwrap_err();
    let failure = Failure::of(&error).unwrap();
    assert!(failure.what.contains("already running"), "{failure}");
    assert!(failure.what.contains(&running.url), "{failure}");
}

async fn a_taken_port_is_a_failure() {
    let folder = Folder::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = local::serve(&folder.path(), Some(port), |_| {}).await.unwrap_err();
    let failure = Failure::of(&error).unwrap();
    assert!(failure.what.contains(&format!("port {port}: it is in use")), "{failure}");
    assert!(failure.hint.is_some());
}

async fn a_folder_that_cannot_be_written_is_a_failure() {
    let folder = Folder::new();
    std::fs::write(folder.path(), "a file").unwrap();
    let error = local::ensure(&folder.path()).await.unwrap_err();
    let failure = Failure::of(&error).unwrap();
    assert!(failure.hint.as_ref().unwrap().contains("ADVENT_LOCAL_DIR"), "{failure}");
}

async fn leftovers_of_another_are_not_believed() {
    let (one, other) = (Folder::new(), Folder::new());
    local::ensure(&one.path()).await.unwrap();
    std::fs::create_dir_all(other.path()).unwrap();
    std::fs::copy(one.path().join("endpoint.json"), other.path().join("endpoint.json")).unwrap();
    assert!(local::find(&other.path()).await.unwrap().is_none());
    assert!(!local::stop(&other.path()).await.unwrap());
    assert!(local::find(&one.path()).await.unwrap().is_some());
}

/// Stopped, it holds its lock and answers nobody.
async fn one_that_does_not_answer_is_ended() {
    let folder = Folder::new();
    let running = local::ensure(&folder.path()).await.unwrap();
    create_group(&running, "/kept").await;
    signal("-STOP", running.pid);
    assert!(local::stop(&folder.path()).await.unwrap());
    is_gone(running.pid);
    let next = local::ensure(&folder.path()).await.unwrap();
    assert!(!local::is_empty(&next).await.unwrap());
}

/// Versions before keys leave a folder without one, and maybe run.
async fn one_without_a_key_is_replaced() {
    let folder = Folder::new();
    let first = local::ensure(&folder.path()).await.unwrap();
    create_group(&first, "/kept").await;
    std::fs::remove_file(folder.path().join("key.json")).unwrap();
    assert!(local::find(&folder.path()).await.unwrap().is_none());
    let second = local::ensure(&folder.path()).await.unwrap();
    is_gone(first.pid);
    assert_ne!(first.key, second.key);
    assert!(!local::is_empty(&second).await.unwrap());
    std::fs::remove_file(folder.path().join("key.json")).unwrap();
    assert!(local::stop(&folder.path()).await.unwrap());
    is_gone(second.pid);
}

/// Whoever listens where a local cloud once did gets neither a key nor an application.
async fn a_stranger_on_its_port_is_not_believed() {
    use std::io::{Read as _, Write as _};
    let folder = Folder::new();
    let first = local::ensure(&folder.path()).await.unwrap();
    local::stop(&folder.path()).await.unwrap();
    let dir = folder.path().canonicalize().unwrap();
    let address = first.url.strip_prefix("http://").unwrap();
    let listener = std::net::TcpListener::bind(address).unwrap();
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap();
        let body = serde_json::json!({ "advent": "0", "pid": 1, "dir": dir, "executable": null });
        let body = body.to_string();
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length:";
        write!(stream, "{head} {}\r\n\r\n{body}", body.len()).unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    assert!(local::find(&folder.path()).await.unwrap().is_none());
    let asked = asked.join().unwrap();
    assert!(asked.contains("/_advent/health"), "{asked}");
    assert!(!asked.contains(&first.key.secret_access_key), "{asked}");
}

/// Waits until there is no such process.
fn is_gone(pid: u32) {
    let begun = std::time::Instant::now();
    let alive = || Path::new("/proc").join(pid.to_string()).join("exe").read_link().is_ok();
    while alive() {
        assert!(begun.elapsed().as_secs() < 20, "{pid} lives on");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Nobody could stop it otherwise, and another one would be started beside it.
async fn it_ends_with_its_folder() {
    let folder = Folder::new();
    let first = local::ensure(&folder.path()).await.unwrap();
    std::fs::remove_dir_all(folder.path()).unwrap();
    is_gone(first.pid);
    let second = local::ensure(&folder.path()).await.unwrap();
    assert!(second.started && second.pid != first.pid);
    // Another folder in its place.
    std::fs::rename(folder.path(), folder.0.path().join("elsewhere")).unwrap();
    std::fs::create_dir(folder.path()).unwrap();
    is_gone(second.pid);
    let third = local::ensure(&folder.path()).await.unwrap();
    std::fs::remove_file(folder.path().join("state.sqlite")).unwrap();
    is_gone(third.pid);
}

async fn it_is_stopped_whatever_is_left_of_its_folder() {
    let folder = Folder::new();
    let running = local::ensure(&folder.path()).await.unwrap();
    std::fs::remove_file(folder.path().join("endpoint.json")).unwrap();
    assert_eq!(local::find(&folder.path()).await.unwrap().unwrap().pid, running.pid);
    assert!(local::stop(&folder.path()).await.unwrap());
    is_gone(running.pid);
}

async fn why_it_did_not_start_is_said() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path()).unwrap();
    std::fs::write(folder.path().join("state.sqlite"), "no database ".repeat(100)).unwrap();
    let error = local::ensure(&folder.path()).await.unwrap_err();
    let failure = Failure::of(&error).unwrap();
    assert!(failure.what.contains("state.sqlite"), "{failure}");
}

async fn a_full_disk_is_said() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path()).unwrap();
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"])
        .arg(folder.path())
        .output();
    if !mount.is_ok_and(|mount| mount.status.success()) {
        println!("SKIPPED: a full disk needs the right to mount one");
        return;
    }
    let error = local::ensure(&folder.path()).await.unwrap_err();
    let text = format!("{error:#}");
    let unmount = std::process::Command::new("umount").arg(folder.path()).status().unwrap();
    assert!(unmount.success());
    assert!(text.contains("full") || text.contains("No space left"), "{text}");
}

fn a_new_build_takes_over() {
    let folder = Folder::new();
    let executable = folder.0.path().join("executable");
    let build = || {
        drop(std::fs::remove_file(&executable));
        std::fs::copy(std::env::current_exe().unwrap(), &executable).unwrap();
    };
    let ensure = || {
        let output = std::process::Command::new(&executable)
            .arg("ensure")
            .arg(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    build();
    let first = ensure();
    assert_eq!(ensure(), first);
    std::thread::sleep(std::time::Duration::from_millis(20));
    build();
    let second = ensure();
    assert_ne!(second, first);
    assert_eq!(ensure(), second);
}
