mod faults;
mod file;
mod properties;
mod reading;
