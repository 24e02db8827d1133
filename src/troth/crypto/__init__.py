"""Cryptography over maintained libraries: nothing here invents a primitive."""
