"""What pages look up and chains do not answer: who spent an output, what an address was in, which addresses were spent
together, what a service turned over. All of it follows from the chains and the record: a cache that is made anew."""
