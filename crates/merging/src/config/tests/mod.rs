mod accepted;
mod faults;
mod methods;
mod parity;
mod planning;
mod properties;
mod reading;
mod tokenizer;
