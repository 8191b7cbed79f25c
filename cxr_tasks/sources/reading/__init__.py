"""What sources share: tables, names and files as people have them."""
