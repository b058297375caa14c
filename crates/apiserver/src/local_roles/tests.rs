#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;

/// Numbers that are nobody's here.
const ALICE: u32 = 3_999_991;
const STAFF: u32 = 3_999_992;

fn options(option: &str, names: &[u32]) -> ApiOptions {
    let names: Vec<String> = names.iter().map(u32::to_string).collect();
    let mut options = ApiOptions::default();
    match option {
        "admin-user" => options.api_admin_user = names,
        "edit-user" => options.api_edit_user = names,
        "view-user" => options.api_view_user = names,
        "admin-group" => options.api_admin_group = names,
        "edit-group" => options.api_edit_group = names,
        _ => options.api_view_group = names,
    }
    options
}

fn check(options: &ApiOptions, uid: u32, gid: u32, expected: Option<ApiRole>) {
    let roles = LocalRoles::read(options).unwrap();
    let found = match roles.introduce(LocalUser { uid, gid }) {
        Introduction::Caller(caller) => Some(caller.role),
        Introduction::Stranger { advice, .. } => {
            assert!(advice.contains("as root") && advice.contains(&format!("--api-edit-user={uid}")));
            None
        }
        Introduction::Nobody => panic!("{uid} is a user"),
    };
    assert_eq!(found, expected, "{uid} {gid}");
}

#[test]
fn users_and_groups_have_the_roles_that_they_are_given() {
    let nobody = ApiOptions::default();
    check(&nobody, 0, STAFF, Some(ApiRole::Admin));
    check(&nobody, LocalUser::own().uid, STAFF, Some(ApiRole::Admin));
    check(&nobody, ALICE, STAFF, None);
    for (word, role) in [("admin", ApiRole::Admin), ("edit", ApiRole::Edit), ("view", ApiRole::View)] {
        check(&options(&format!("{word}-user"), &[ALICE]), ALICE, 7, Some(role));
        check(&options(&format!("{word}-user"), &[ALICE]), ALICE + 1, STAFF, None);
        check(&options(&format!("{word}-group"), &[STAFF]), ALICE, STAFF, Some(role));
        check(&options(&format!("{word}-group"), &[STAFF]), ALICE, STAFF + 1, None);
    }
}

#[test]
fn the_highest_role_counts() {
    let mut both = options("view-user", &[ALICE]);
    both.api_edit_group = vec![STAFF.to_string()];
    check(&both, ALICE, STAFF, Some(ApiRole::Edit));
    check(&both, ALICE, 7, Some(ApiRole::View));
    both.api_admin_user = vec![ALICE.to_string()];
    check(&both, ALICE, STAFF, Some(ApiRole::Admin));
}

#[test]
fn a_name_that_nobody_has_is_told() {
    let options = ApiOptions { api_edit_user: vec!["no-such-user".into()], ..ApiOptions::default() };
    let told = LocalRoles::read(&options).unwrap_err().to_string();
    assert!(told.contains("--api-edit-user") && told.contains("no user `no-such-user`"), "{told}");
    let options = ApiOptions { api_view_group: vec!["no-such-group".into()], ..ApiOptions::default() };
    let told = LocalRoles::read(&options).unwrap_err().to_string();
    assert!(told.contains("--api-view-group") && told.contains("no group"), "{told}");
}
