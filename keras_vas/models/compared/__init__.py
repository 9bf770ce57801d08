"""Systems that the paper's tables compare CSTM with; see docs/compared.md."""
