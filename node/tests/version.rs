//! The program starts and says which one it is. Its presence makes `cargo test` build the program itself, which the
//! tests of the whole house run.

use std::process::Command;

#[test]
fn the_program_tells_its_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_metaclinic")).arg("--version").output().expect("it runs");
    assert!(output.status.success());
    let expected = concat!("metaclinic ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}
