"""The network of the published inference code of CSTM's authors."""
