mod order;
mod running;
