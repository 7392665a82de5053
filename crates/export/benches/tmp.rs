use std::time::Instant; use std::io::Write;
use telegen_model::Records; use telegen_testkit::records;
fn main(){
 let r=records::resource("shop");
 let g=[records::group(&r, Records::Spans((0..4000).map(records::http_span).collect()))];
 let b=telegen_otlp::encode_request(&g);
 for _ in 0..3 {
 let t=Instant::now(); let mut e=flate2::write::GzEncoder::new(Vec::with_capacity(b.len()/4), flate2::Compression::new(1)); e.write_all(&b).unwrap(); let o=e.finish().unwrap(); println!("gzip {} ns/span, {} -> {}", t.elapsed().as_nanos()/4000, b.len(), o.len());
 let t=Instant::now(); let o=zstd::bulk::compress(&b,1).unwrap(); println!("zstd {} ns/span -> {}", t.elapsed().as_nanos()/4000, o.len());
 }
}
