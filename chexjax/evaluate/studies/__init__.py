"""What is asked of an evaluation beside its means, each as numbers and as a part of the page."""
