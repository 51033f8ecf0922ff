"""Who is sent what, who is late, when it is enough: decided without doing anything."""
