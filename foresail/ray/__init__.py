"""Ray and KubeRay: plans scale them, and replays run on them."""
