"""What commands share: run folder, plan, training, resume, predictions, scoring, classifiers."""
