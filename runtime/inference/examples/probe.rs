#![allow(missing_docs, clippy::all, unused)]
use burn::tensor::{Tensor, TensorData, Device, DType};
use rayon::prelude::*;
use std::time::Instant;
fn dot(w:&[f32],x:&[f32])->f32{
    let mut acc=[0f32;16];
    for (a,b) in w.chunks_exact(16).zip(x.chunks_exact(16)){ for i in 0..16 {acc[i]+=a[i]*b[i];} }
    acc.iter().sum()
}
fn time(n:usize, mut f: impl FnMut())->f64{ f(); let mut v:Vec<f64>=(0..n).map(|_|{let t=Instant::now();f();t.elapsed().as_secs_f64()}).collect(); v.sort_by(f64::total_cmp); v[n/2]}
fn main(){
    let d=Device::flex();
    for (k,n,copies) in [(576,960,60),(576,576,60),(576,3072,40),(1536,576,60),(576,49152,2)] {
        // several copies, so that they come from memory
        let ws:Vec<TensorData>=(0..copies).map(|c|{let v:Vec<f32>=(0..k*n).map(|i|((i*7+c)%13) as f32*0.01).collect(); let (b,s,t)=TensorData::new(v,[n,k]).into_parts(); TensorData::from_bytes(b.shared(),s,t)}).collect();
        let ts:Vec<Tensor<2>>=ws.iter().map(|w|Tensor::<2>::from_data(w.clone(),&d).transpose()).collect();
        let tc:Vec<Tensor<2>>=ws.iter().map(|w|Tensor::<2>::from_data(TensorData::new(w.as_slice::<f32>().unwrap().to_vec(),[k,n]),&d)).collect();
        let gb=(k*n*4*copies) as f64/1e9;
        for m in [1usize,4,8,16,128] {
            if m>16 && n>4000 {continue}
            let x:Vec<f32>=(0..m*k).map(|i|(i%5) as f32).collect();
            let xt=Tensor::<2>::from_data(TensorData::new(x.clone(),[m,k]),&d);
            let reps=if m<=16 {5} else {3};
            let a=time(reps,||{for w in &ts {std::hint::black_box(xt.clone().matmul(w.clone()));}});
            let b=time(reps,||{for w in &tc {std::hint::black_box(xt.clone().matmul(w.clone()));}});
            print!("k{k} n{n} m{m}: burn [n,k]^T {:.1}ms {:.1}GB/s {:.0}GF; burn [k,n] {:.1}ms {:.1}GB/s {:.0}GF",a*1e3,gb/a,gb*m as f64/2.0/a,b*1e3,gb/b,gb*m as f64/2.0/b);
            if m<=16 {
              for par in [false,true] {
                let c=time(reps,||{for w in &ws { let w=w.as_slice::<f32>().unwrap(); let mut o=vec![0f32;n*m];
                    let work=|o:&mut[f32],w:&[f32]|{ for (o,w) in o.chunks_exact_mut(m).zip(w.chunks_exact(k)) { for (o,x) in o.iter_mut().zip(x.chunks_exact(k)) {*o=dot(w,x);} } };
                    if par { let half=n/2; let (o1,o2)=o.split_at_mut(half*m); let (w1,w2)=w.split_at(half*k); rayon::join(||work(o1,w1),||work(o2,w2)); } else {work(&mut o,w)}
                    std::hint::black_box(o);} });
                print!("; own par={par} {:.1}ms {:.1}GB/s",c*1e3,gb/c);
              }
            }
            println!();
        }
    }
}
