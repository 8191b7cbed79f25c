"""Paediatric X-rays of Kermany et al."""
