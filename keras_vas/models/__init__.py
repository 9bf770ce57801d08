"""The parts of CSTM, as functional graphs."""
