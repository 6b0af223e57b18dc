//! Compiles the shim where jpeglib.h of libjpeg-turbo is installed; elsewhere there is no such decoder.

fn main() {
    println!("cargo:rerun-if-changed=src/shim.c");
    println!("cargo:rerun-if-changed=build.rs");
    let mut shim = cc::Build::new();
    shim.file("src/shim.c").cargo_warnings(false).warnings(false).opt_level(2);
    if shim.try_compile("splitscale_turbo_shim").is_ok() {
        println!("cargo:rustc-cfg=turbo");
        println!("cargo:rustc-link-lib=jpeg");
    }
}
