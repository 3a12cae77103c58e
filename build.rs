//! Compiles `proto/` with protox, a protobuf compiler in Rust, so that a build needs only Rust.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["opamp/v1/opamp.proto"], ["proto"])?;
    // Ordered maps: Seawall itself encodes the same message as the same bytes each time.
    prost_build::Config::new().btree_map(["."]).compile_fds(descriptors)?;
    Ok(())
}
