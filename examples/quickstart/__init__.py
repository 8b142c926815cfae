"""The first server and its client, the steps of the tutorial, and the code of the guides."""
