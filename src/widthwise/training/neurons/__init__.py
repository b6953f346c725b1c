"""The law during training for hundreds of points, neuron by neuron."""
