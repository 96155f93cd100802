//! Ctrl-C and SIGTERM: the first ends what is under way and begins to clean up.

use tokio::sync::watch;

/// Whether somebody wants this to end.
#[derive(Clone)]
pub struct Interrupt(watch::Receiver<u32>);

impl Interrupt {
    /// Watches from here on.
    pub fn watch() -> Self {
        let (sender, receiver) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                signal().await;
                sender.send_modify(|count| *count += 1);
                if *sender.borrow() == 1 {
                    crate::say(
                        "interrupted: cleaning up; interrupt twice more to leave things behind",
                    );
                }
                if *sender.borrow() >= 3 {
                    crate::say("abandoned: what was created is still there; --clean ID removes it");
                    std::process::exit(130);
                }
            }
        });
        Self(receiver)
    }

    pub fn is_raised(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Ends when the first one comes.
    pub async fn raised(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|count| *count > 0).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = term.recv() => {}
            }
            return;
        }
    }
    tokio::signal::ctrl_c().await.ok();
}
