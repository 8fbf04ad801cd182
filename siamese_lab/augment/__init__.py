"""Options of augment=: random changes of training images, and fixed views for evaluation."""
