"""How fast all of this is: `mrnn benchmark`, and how search grows."""
