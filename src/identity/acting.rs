//! The role in which the current request acts, for the audit log.
//!
//! The role travels with the task, like a tracing span: commands that a request's task sends to the recorder carry its
//! role.

use super::Role;

tokio::task_local! {
    static ROLE: Role;
}

/// Runs something in a caller's role.
pub async fn acting_as<F: Future>(role: Role, work: F) -> F::Output {
    ROLE.scope(role, work).await
}

/// The role of the present request's caller; `None` for what this program does by itself.
pub fn acting() -> Option<Role> {
    ROLE.try_with(|role| *role).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_role_goes_with_its_request_and_with_no_other() {
        let (kim, admin) = tokio::join!(
            acting_as(Role::CareManager, async { acting() }),
            acting_as(Role::Admin, async {
                tokio::task::yield_now().await;
                acting()
            })
        );
        assert_eq!((kim, admin, acting()), (Some(Role::CareManager), Some(Role::Admin), None));
    }
}
