"""Rules by which synapses learn, one file each."""
