"""The levers: from a plan for nodes to changes of API objects; `ladder` goes over all of them."""
