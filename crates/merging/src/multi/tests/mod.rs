mod order;
mod properties;
mod running;
