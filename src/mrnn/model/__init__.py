"""The multimodal recurrent network of the paper, what it says, and the folder that holds it."""
