"""Pictures with what is known of them: read, checked and named by hash before anything is computed on them."""
